import type { AnsweredRequest } from '@deos/api'
import { addTimes, type StageTime } from '@deos/protocol'

type RequestSplit = NonNullable<AnsweredRequest['split']>

/** A stretch of time by the gateway's clock. */
export interface Stretch {
  readonly startMs: number
  readonly endMs: number
}

/** What an answer took at the stages of one replica. */
export interface ReplicaTimes {
  readonly replicaId: string
  /** Where its stages were, in order. */
  readonly machines: readonly string[]
  /** Up to the first token that came from there, and after it. */
  prefill: readonly StageTime[]
  decode: readonly StageTime[]
}

/** What became of one answer of a request, as far as its gateway sees it. */
export class AnswerTrace {
  /** Of the ring that worked on it last. */
  replicaId: string | null = null
  /** When it was first handed to a ring, and when tokens came. */
  sentMs: number | null = null
  firstMs: number | null = null
  lastMs: number | null = null
  tokens = 0
  /** As the first token told. */
  cachedTokens: number | null = null
  /** One for each replica it was sent to, in order. */
  readonly replicas: ReplicaTimes[] = []
  /** Whether the replica of now has begun to answer. */
  #prefilled = false
  /** Who computed the prompt; `null` where nobody else does. */
  split: RequestSplit | null = null
  readonly interruptions: { startMs: number; endMs: number | null }[] = []

  /** @param prompt - answers to the same prompt share it, and count it once */
  constructor(readonly prompt: Int32Array) {}

  /** @param machines - where the replica's stages are, in order */
  sent(replicaId: string, machines: readonly string[], nowMs: number): void {
    this.replicaId = replicaId
    this.sentMs ??= nowMs
    this.#prefilled = false
    if (this.replicas.at(-1)?.replicaId !== replicaId) {
      this.replicas.push({ replicaId, machines, prefill: [], decode: [] })
    }
  }

  token(cachedTokens: number, times: readonly StageTime[], nowMs: number): void {
    this.#resume(nowMs)
    this.firstMs ??= nowMs
    this.lastMs = nowMs
    this.tokens += 1
    this.cachedTokens ??= cachedTokens
    const replica = this.replicas.at(-1)
    const phase = this.#prefilled ? 'decode' : 'prefill'
    if (replica !== undefined) replica[phase] = addTimes(replica[phase], times)
    this.#prefilled = true
  }

  /** What was used once is told, whatever became of later attempts; of the same one more may be told later. */
  splitTold(split: RequestSplit): void {
    const again = split.enhancement !== null && this.split?.prefillReplicaId === split.prefillReplicaId
    if (this.split?.used !== true || again) this.split = split
  }

  interrupted(nowMs: number): void {
    if (this.interruptions.at(-1)?.endMs !== null) this.interruptions.push({ startMs: nowMs, endMs: null })
  }

  /** Mean time of a token after the first; `null` with fewer than two. */
  get tokenMs(): number | null {
    return this.tokens < 2 ? null : (this.lastMs! - this.firstMs!) / (this.tokens - 1)
  }

  #resume(nowMs: number): void {
    const last = this.interruptions.at(-1)
    if (last?.endMs === null) last.endMs = nowMs
  }
}
