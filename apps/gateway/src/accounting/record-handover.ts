import { type AnsweredRequest, type ApiClient, ApiError } from '@deos/api'
import type { Logger } from '@deos/service'

export interface HandoverOptions {
  /** A batch is sent when its oldest record is so old, or it is full. */
  readonly maxDelayMs: number
  readonly batchSize: number
  /** Records held at most. */
  readonly capacity: number
  readonly retry: { readonly firstDelayMs: number; readonly maxDelayMs: number }
}

export const defaultHandover: HandoverOptions = {
  maxDelayMs: 200,
  batchSize: 100,
  capacity: 20_000,
  retry: { firstDelayMs: 250, maxDelayMs: 5_000 },
}

export interface HandoverParts {
  readonly client: Pick<ApiClient['gateway'], 'record'>
  readonly logger: Logger
  /** Told of records that nobody will read: too many were waiting, or the control plane refused them. */
  readonly onLost: (count: number) => void
}

const SEND_LIMIT_MS = 10_000

const costsNothing = ({ cost }: AnsweredRequest): boolean => cost.microUnits === '0'

/**
 * Hands answered requests to the control plane, in batches and again until each is accepted: it takes every record once.
 * What costs nothing is dropped, oldest first, when too much waits; what costs something never is.
 */
export class RecordHandover {
  readonly #options: HandoverOptions
  readonly #parts: HandoverParts
  /** In the order of arrival. */
  #waiting: AnsweredRequest[] = []
  #priced = 0
  /** Records being sent now; they still count. */
  #sending = 0
  #timer: NodeJS.Timeout | null = null
  #failures = 0
  #idle: (() => void)[] = []
  #stopped = false

  constructor(options: HandoverOptions, parts: HandoverParts) {
    this.#options = options
    this.#parts = parts
  }

  get size(): number {
    return this.#waiting.length + this.#sending
  }

  /** Records with a cost that are not handed over yet. */
  get priced(): number {
    return this.#priced
  }

  add(record: AnsweredRequest): void {
    this.#waiting.push(record)
    if (!costsNothing(record)) this.#priced += 1
    if (this.size > this.#options.capacity) this.#dropOldestFree()
    if (this.#sending > 0) return
    if (this.#failures === 0 && this.#waiting.length >= this.#options.batchSize) void this.#send()
    else this.#sendIn(this.#failures === 0 ? this.#options.maxDelayMs : this.#retryDelayMs())
  }

  /** Sends what there is and resolves when all of it is accepted, or `signal` aborts. */
  async drain(signal: AbortSignal): Promise<void> {
    if (this.size === 0 || signal.aborted) return
    const done = new Promise<void>((resolve) => {
      this.#idle.push(resolve)
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
    void this.#send()
    await done
    if (this.size > 0) {
      this.#parts.logger.error({ records: this.size }, 'Records of answered requests were not handed over.')
    }
  }

  stop(): void {
    this.#stopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  #sendIn(delayMs: number): void {
    if (this.#timer !== null || this.#stopped) return
    this.#timer = setTimeout(() => void this.#send(), delayMs)
    this.#timer.unref()
  }

  async #send(): Promise<void> {
    if (this.#sending > 0 || this.#waiting.length === 0 || this.#stopped) return
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    const batch = this.#waiting.splice(0, this.#options.batchSize)
    this.#sending = batch.length
    const rest = await this.#offer(batch)
    this.#sending = 0
    this.#failures = rest.length > 0 ? this.#failures + 1 : 0
    this.#waiting = [...rest, ...this.#waiting]
    if (this.#waiting.length === 0) {
      for (const resolve of this.#idle.splice(0)) resolve()
    } else if (this.#failures > 0) this.#sendIn(this.#retryDelayMs())
    else if (this.#waiting.length >= this.#options.batchSize || this.#idle.length > 0) void this.#send()
    else this.#sendIn(this.#options.maxDelayMs)
  }

  /** @returns what must be sent again */
  async #offer(batch: readonly AnsweredRequest[]): Promise<readonly AnsweredRequest[]> {
    try {
      await this.#parts.client.record({
        body: { requests: batch },
        signal: AbortSignal.timeout(SEND_LIMIT_MS),
      })
      this.#settle(batch)
      return []
    } catch (error) {
      if (!isRefusal(error)) {
        if (this.#failures === 0)
          this.#parts.logger.warn({ records: batch.length }, `Records wait: ${(error as Error).message}`)
        return batch
      }
      if (batch.length === 1) {
        this.#lose(batch, `A record was refused: ${error.message}`)
        return []
      }
      // One of them is the cause; the others must not share its fate.
      const half = Math.ceil(batch.length / 2)
      return [...(await this.#offer(batch.slice(0, half))), ...(await this.#offer(batch.slice(half)))]
    }
  }

  #settle(records: readonly AnsweredRequest[]): void {
    this.#priced -= records.filter((record) => !costsNothing(record)).length
  }

  #lose(records: readonly AnsweredRequest[], why: string): void {
    this.#settle(records)
    this.#parts.onLost(records.length)
    this.#parts.logger.error({ requests: records.map(({ id }) => id) }, why)
  }

  #dropOldestFree(): void {
    const index = this.#waiting.findIndex(costsNothing)
    if (index === -1) return
    this.#waiting.splice(index, 1)
    this.#parts.onLost(1)
  }

  #retryDelayMs(): number {
    const { firstDelayMs, maxDelayMs } = this.#options.retry
    return Math.min(maxDelayMs, firstDelayMs * 2 ** Math.max(0, this.#failures - 1))
  }
}

/** An answer that sending the same again would not change; what is wrong with this gateway's own token may be put right. */
const isRefusal = (error: unknown): error is ApiError =>
  error instanceof ApiError &&
  !error.retriable &&
  error.status !== null &&
  error.status >= 400 &&
  error.status < 500 &&
  ![401, 403].includes(error.status)
