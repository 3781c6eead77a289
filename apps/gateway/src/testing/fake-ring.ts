import { modelId, ringId, seededRandom, workerId } from '@deos/domain'
import {
  defaultClientOptions,
  defaultLeaderOptions,
  defaultWireLimits,
  type RingCapacity,
} from '@deos/protocol'
import { type FakeModel, FakeStageEngine } from '@deos/protocol/testing'
import {
  defaultHostTiming,
  linkIdentity,
  MemoryNetwork,
  RingConnection,
  RingHost,
  systemTimers,
  type Transport,
} from '@deos/transport'
import { onTestFinished } from 'vitest'
import type { RingSession, RingSessionHandlers } from '../routing/replica.ts'

/** As many tokens as the byte model has, so that whatever is sampled can be shown. */
export const fakeModel: FakeModel = { layers: 6, hiddenSize: 4, vocabSize: 258 }

const stages = 3
const ring = ringId('ring')
const capacity: RingCapacity = { kvPages: 512, pageTokens: 8, contextLength: 512, maxBatchTokens: 64 }

const clientOptions = { ...defaultClientOptions, ...defaultHostTiming, wire: defaultWireLimits }

/** A connection with the transport that it alone uses. */
export function sessionOf(connection: RingConnection, transport: Transport): RingSession {
  return {
    handover: null,
    get ready() {
      return connection.ready
    },
    get status() {
      return connection.status
    },
    generate: (request, handlers) => connection.generate(request, handlers),
    cancel: (id) => connection.cancel(id),
    start: () => connection.start(),
    stop: async () => {
      connection.stop()
      await transport.stop()
    },
  }
}

/** Three workers as they ship, over links and engines in memory, until the test ends. */
export class FakeRing {
  readonly connection: RingConnection
  readonly #hosts: readonly RingHost[]
  readonly #network: MemoryNetwork
  #sessions = 0
  #ready: () => void = () => undefined

  constructor() {
    const network = new MemoryNetwork({ latencyMs: [0, 1] }, systemTimers, seededRandom(3))
    this.#network = network
    const edge = {
      timers: systemTimers,
      random: seededRandom(4),
      onNote: () => undefined,
    }
    this.#hosts = Array.from({ length: stages }, (_, stage) => {
      const worker = `w${stage}`
      return new RingHost(
        {
          ...defaultHostTiming,
          identity: {
            worker: workerId(worker),
            model: modelId('bytes'),
            stage,
            stages,
            layers: layersOf(stage),
            hiddenSize: fakeModel.hiddenSize,
          },
          leader:
            stage === 0
              ? {
                  ...defaultLeaderOptions,
                  stages,
                  microbatches: stages,
                  vocabSize: fakeModel.vocabSize,
                  firstEpoch: 1,
                  probeIntervalMs: 50,
                }
              : null,
          listen: worker,
          previousPeer: `w${(stage + stages - 1) % stages}`,
        },
        { ...edge, transport: network.transport(linkIdentity('worker', worker, ring), 'secret') },
      )
    })
    this.connection = new RingConnection(
      {
        ...clientOptions,
        leader: 'w0',
        tail: `w${stages - 1}`,
      },
      {
        ...edge,
        transport: network.transport(linkIdentity('gateway', 'gateway', ring), 'secret'),
        onStatus: (ready) => {
          if (ready) this.#ready()
        },
      },
    )
  }

  async start(): Promise<void> {
    const ready = new Promise<void>((resolve) => {
      this.#ready = resolve
    })
    onTestFinished(async () => {
      this.connection.stop()
      await Promise.all(this.#hosts.map((host) => host.stop()))
    })
    for (const host of this.#hosts) await host.start()
    for (const [stage, host] of this.#hosts.entries()) {
      host.connectNext(`w${(stage + 1) % stages}`)
      this.#attach(stage)
    }
    this.connection.start()
    await ready
  }

  /** One worker's engine dies with all it held, and a fresh one takes its place. */
  crash(stage: number): void {
    this.#hosts[stage]!.detachEngine('crashed as played')
    this.#attach(stage)
  }

  /** All its workers go, for good. */
  async die(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.stop()))
  }

  /** A further gateway's connection. */
  session(told: RingSessionHandlers): RingSession {
    this.#sessions += 1
    const identity = linkIdentity('gateway', `gateway-${this.#sessions}`, ring)
    const transport = this.#network.transport(identity, 'secret')
    const connection = new RingConnection(
      { ...clientOptions, leader: 'w0', tail: `w${stages - 1}` },
      { transport, timers: systemTimers, random: seededRandom(5), ...told },
    )
    return sessionOf(connection, transport)
  }

  #attach(stage: number): void {
    this.#hosts[stage]!.attachEngine(
      new FakeStageEngine({
        model: fakeModel,
        layers: layersOf(stage),
        capacity,
        compute: () => new Promise((resolve) => setImmediate(resolve)),
      }),
    )
  }
}

function layersOf(stage: number): { first: number; end: number } {
  const each = fakeModel.layers / stages
  return { first: stage * each, end: (stage + 1) * each }
}
