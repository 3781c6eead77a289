import { modelId, ms, ringId, tokens, workerId } from '@deos/domain'
import { defaultLeaderOptions, type RingLeaderOptions } from '@deos/protocol'
import type { ApiClient } from '@deos/sdk'
import { defaultLinkLimits, linkIdentity, RingHost, systemTimers, TcpTransport } from '@deos/transport'
import { InstantStageEngine } from './instant-stage-engine.ts'

/** A stage as the control plane assigns it. */
export type StageAssignment = Awaited<ReturnType<ApiClient['worker']['assignments']>>['assignments'][number]

type StageReport = Parameters<ApiClient['worker']['heartbeat']>[0]['body']['stages'][number]

/** How closely stages watch each other: many share one process, and nothing about them is measured. */
export interface StagePace {
  readonly tickMs: number
  readonly probeIntervalMs: number
  readonly linkHeartbeatMs: number
}

export interface SimulatedStageOptions {
  readonly pace: StagePace
  readonly token: number
}

const hiddenSize = 8
const pageTokens = 16
const kvPages = 1024

/** A stage that a perfect machine holds: it listens at once and computes in no time. */
export class SimulatedStage {
  readonly #transport: TcpTransport
  readonly #host: RingHost
  #nextAddress: string | null = null
  #address: string | null = null
  /** By heartbeats so far. */
  #said: 'nothing' | 'loading' | 'loaded' = 'nothing'
  #stopped = false

  constructor(
    readonly assignment: StageAssignment,
    private readonly options: SimulatedStageOptions,
  ) {
    const { stageId, ring, ringSecret, position, stages, layers, previous, model } = assignment
    const { tickMs, linkHeartbeatMs } = options.pace
    this.#transport = new TcpTransport({
      identity: linkIdentity('worker', stageId, ringId(ring)),
      secret: Buffer.from(ringSecret, 'hex'),
      limits: { ...defaultLinkLimits, heartbeatMs: linkHeartbeatMs, silenceMs: 5 * linkHeartbeatMs },
    })
    const identity = {
      ...{ worker: workerId(stageId), model: modelId(model.fingerprint), stage: position, stages },
      ...{ layers: { first: layers.first, end: layers.end }, hiddenSize },
    }
    this.#host = new RingHost(
      {
        ...{ identity, tickMs, listen: '127.0.0.1:0', reconnect: { firstDelayMs: 50, maxDelayMs: 2_000 } },
        leader: position === 0 ? this.#leaderOptions() : null,
        previousPeer: stages === 1 ? null : previous.stageId,
      },
      {
        transport: this.#transport,
        timers: systemTimers,
        random: { next: Math.random },
        onNote: () => undefined,
      },
    )
  }

  get address(): string | null {
    return this.#address
  }

  /** Whether there is something that no heartbeat has said yet. */
  get hasNews(): boolean {
    return this.#address !== null && this.#said !== 'loaded'
  }

  /** Listens, and has everything loaded. */
  async start(): Promise<void> {
    const { position, stages, contextTokens } = this.assignment
    this.#address = await this.#host.start()
    if (this.#stopped) {
      await this.#host.stop()
      return
    }
    this.#host.attachEngine(
      new InstantStageEngine({
        ...{ isLast: position === stages - 1, hiddenSize, token: this.options.token },
        capacity: { kvPages, pageTokens, contextLength: contextTokens, maxBatchTokens: 512 },
      }),
    )
    this.update(this.assignment)
  }

  /** The ring around it has changed. */
  update({ next, stages }: StageAssignment): void {
    if (this.#address === null || stages === 1 || next.linkAddress === null) return
    if (next.linkAddress === this.#nextAddress) return
    this.#nextAddress = next.linkAddress
    this.#host.connectNext(next.linkAddress)
  }

  /** What a heartbeat says of it: that it loads, and from the next one on that it is there. */
  report(): StageReport {
    const isLoaded = this.#said !== 'nothing'
    const state = isLoaded ? 'loaded' : 'loading'
    if (this.#address !== null) this.#said = state
    const { stageId, generation } = this.assignment
    return {
      ...{ stageId, generation, state },
      ...{ loadedFraction: isLoaded ? 1 : 0, linkAddress: this.#address, problem: null },
      nextRoundTripMs: isLoaded ? ms(0.3 + Math.random() / 10) : null,
      ...{ activeSessions: 0, kvUsedTokens: tokens(0), busyFraction: 0, generatedTokens: tokens(0) },
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#host.stop()
    await this.#transport.stop()
  }

  #leaderOptions(): RingLeaderOptions {
    const { stages } = this.assignment
    const { probeIntervalMs } = this.options.pace
    return {
      ...{ ...defaultLeaderOptions, stages, microbatches: stages, vocabSize: null, probeIntervalMs },
      ...{ probeTimeoutMs: 60_000, firstEpoch: Math.floor(Date.now() / 1000) },
    }
  }
}
