import type { SessionKey, StepEntry } from '../messages.ts'

/** A session's progress through the ring as the leader sees it. */
export interface BatchSession {
  readonly key: SessionKey
  readonly prompt: Int32Array
  /** Positions sent into the ring. */
  sent: number
  /** Token to feed next, once the prompt is through. */
  nextToken: number
  removed: boolean
}

export interface Batch {
  readonly entries: readonly StepEntry[]
  /** Ids of all entries, one after another. */
  readonly tokens: Int32Array
  /** How many of the tokens belong to prompts. */
  readonly promptTokens: number
}

/**
 * Chooses what goes into the next step.
 *
 * With A decoding sessions and M microbatches a step takes at most ceil(A / M) of them, oldest first: then M steps
 * share all sessions evenly and every stage has work, and with A ≤ M nobody waits for company. Groups that drift
 * apart even out, because what exceeds the share waits for the next step.
 *
 * Prompt chunks fill up the step. Only a prompt's last chunk samples, so its chunks may follow each other without
 * waiting; a decoding session returns to the queue when its token is known.
 */
export class StepBatcher {
  readonly #ready: BatchSession[] = []
  readonly #prefill: BatchSession[] = []
  #decoding = 0

  constructor(
    private readonly microbatches: number,
    private readonly prefillChunkTokens: number,
  ) {}

  add(session: BatchSession): void {
    this.#prefill.push(session)
  }

  /** The session's last sampled token came back. */
  advance(session: BatchSession, token: number): void {
    session.nextToken = token
    this.#ready.push(session)
  }

  remove(session: BatchSession): void {
    if (session.removed) return
    session.removed = true
    if (session.sent >= session.prompt.length) this.#decoding -= 1
  }

  clear(): void {
    this.#ready.length = 0
    this.#prefill.length = 0
    this.#decoding = 0
  }

  /** The next step, or `null` when every session is in flight or there is none. */
  next(maxBatchTokens: number): Batch | null {
    const entries: StepEntry[] = []
    const tokens = new Int32Array(maxBatchTokens)
    const share = Math.ceil(this.#decoding / this.microbatches)
    let total = 0
    while (total < Math.min(share, maxBatchTokens)) {
      const session = takeLive(this.#ready)
      if (session === undefined) break
      tokens[total++] = session.nextToken
      entries.push({ key: session.key, position: session.sent++, count: 1, sample: true })
    }
    const decodeTokens = total
    let budget = Math.min(maxBatchTokens - total, this.prefillChunkTokens)
    while (budget > 0) {
      const session = takeLive(this.#prefill)
      if (session === undefined) break
      const count = Math.min(budget, session.prompt.length - session.sent)
      const sample = session.sent + count === session.prompt.length
      tokens.set(session.prompt.subarray(session.sent, session.sent + count), total)
      entries.push({ key: session.key, position: session.sent, count, sample })
      session.sent += count
      total += count
      budget -= count
      if (sample) this.#decoding += 1
      else this.#prefill.unshift(session)
    }
    if (entries.length === 0) return null
    return { entries, tokens: tokens.slice(0, total), promptTokens: total - decodeTokens }
  }
}

function takeLive(queue: BatchSession[]): BatchSession | undefined {
  let session = queue.shift()
  while (session?.removed) session = queue.shift()
  return session
}
