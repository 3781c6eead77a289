import { type ModelId, modelId, ringId, seededRandom, workerId } from '@deos/domain'
import {
  defaultWireLimits,
  type FailCode,
  type FinishReason,
  type Message,
  type OpenRequest,
  type RejectCode,
  type RingStatus,
} from '@deos/protocol'
import { type Link, linkIdentity, MemoryNetwork, RingConnection, systemTimers } from '@deos/transport'
import { onTestFinished } from 'vitest'

const ring = ringId('ring')
const model: ModelId = modelId('bytes')

/** A leader that has done nothing yet. */
export const noUsage: RingStatus['usage'] = {
  pages: 100,
  pagesFree: 90,
  pagesCached: 0,
  promptTokens: 0,
  cachedTokens: 0,
  generatedTokens: 0,
  evictions: 0,
  preemptions: 0,
  recomputedTokens: 0,
}

const status = (ready: boolean): RingStatus => ({
  type: 'status',
  ready,
  epoch: 1,
  active: 3,
  queued: 2,
  usage: noUsage,
  reports: [
    {
      worker: workerId('w0'),
      stage: 0,
      layers: [0, 4],
      model,
      kvPagesFree: 90,
      calibration: null,
      kv: null,
      capacity: { kvPages: 100, pageTokens: 16, contextLength: 2048, maxBatchTokens: 512 },
    },
  ],
})

/** A leader and a last stage whose part the test plays. */
export class ScriptedRing {
  readonly opened: OpenRequest[] = []
  readonly cancelled: string[] = []
  readonly #leaders = new Set<Link>()
  readonly #tails = new Set<Link>()
  #ready = true
  onOpen: (request: OpenRequest) => void = () => undefined

  constructor(readonly network: MemoryNetwork) {}

  async listen(): Promise<void> {
    await this.#transport('leader').listen('leader', (link) => {
      this.#leaders.add(link)
      link.send(status(this.#ready))
      return {
        onMessage: (message) => this.#receive(message),
        onClose: () => this.#leaders.delete(link),
      }
    })
    await this.#transport('tail').listen('tail', (link) => {
      this.#tails.add(link)
      return { onMessage: () => undefined, onClose: () => this.#tails.delete(link) }
    })
  }

  setReady(ready: boolean): void {
    this.#ready = ready
    this.#say(this.#leaders, status(ready))
  }

  token(
    request: OpenRequest,
    index: number,
    token: number,
    finish: FinishReason | null = null,
    cachedTokens = 0,
  ): void {
    this.#say(this.#tails, {
      type: 'token',
      session: request.session,
      index,
      sampled: { token, logprobs: null },
      finish,
      times: [{ waitUs: 100, computeUs: 1000, linkUs: 10 }],
      cachedTokens,
    })
  }

  embed(request: OpenRequest, vector: Float32Array): void {
    const bytes = new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength)
    this.#say(this.#tails, { type: 'embedding', session: request.session, vector: bytes })
  }

  reject(request: OpenRequest, code: RejectCode, retryAfterMs: number): void {
    this.#say(this.#leaders, {
      type: 'rejected',
      session: request.session,
      code,
      message: 'As played.',
      retryAfterMs,
    })
  }

  fail(request: OpenRequest, code: FailCode): void {
    this.#say(this.#leaders, { type: 'failed', session: request.session, code, message: 'As played.' })
  }

  cut(side: 'leader' | 'tail'): void {
    for (const connection of this.network.connections) if (connection.to === side) connection.cut('as played')
  }

  #transport(name: string) {
    const transport = this.network.transport(linkIdentity('worker', name, ring), 'secret')
    onTestFinished(() => transport.stop())
    return transport
  }

  #receive(message: Message): void {
    if (message.type === 'open-request') {
      this.opened.push(message)
      this.onOpen(message)
    } else if (message.type === 'cancel-request') {
      this.cancelled.push(message.session)
    }
  }

  #say(links: ReadonlySet<Link>, message: Message): void {
    for (const link of links) link.send(message)
  }
}

/** A scripted ring and a gateway's connection to it, until the test ends. */
export async function startRing(
  resumePatienceMs = 10_000,
): Promise<{ ring: ScriptedRing; connection: RingConnection }> {
  const network = new MemoryNetwork({ latencyMs: [0, 0] }, systemTimers, seededRandom(1))
  const scripted = new ScriptedRing(network)
  await scripted.listen()
  const ready = new Promise<RingConnection>((resolve) => {
    const transport = network.transport(linkIdentity('gateway', 'gateway', ring), 'secret')
    const connection = new RingConnection(
      {
        wire: defaultWireLimits,
        leader: 'leader',
        tail: 'tail',
        resumePatienceMs,
        tickMs: 1,
        reconnect: { firstDelayMs: 1, maxDelayMs: 2 },
      },
      {
        transport,
        timers: systemTimers,
        random: seededRandom(2),
        onNote: () => undefined,
        onStatus: (isReady) => {
          if (isReady) resolve(connection)
        },
      },
    )
    onTestFinished(async () => {
      connection.stop()
      await transport.stop()
    })
    connection.start()
  })
  return { ring: scripted, connection: await ready }
}
