import type { RouteTarget } from '@deos/api'
import type { Calibration } from '@deos/codec'
import { describeError } from '@deos/domain'
import type { Logger } from '@deos/service'
import { NotReadyError } from '../inference/errors.ts'
import type { ServedModel } from '../inference/served-model.ts'

export type RoutedModel = RouteTarget['model']

/** A model as gateways have it. */
export interface ShelvedModel extends ServedModel {
  /** What was learnt of its KV; none if nobody learnt anything. */
  readonly calibration?: Calibration | undefined
}

/** Opens a model's words; loads no weights. */
export type OpenWords = (model: RoutedModel, signal: AbortSignal) => Promise<ShelvedModel>

export interface ShelfOptions {
  /** Between tries to open a model. */
  readonly retry: { readonly firstDelayMs: number; readonly maxDelayMs: number }
}

interface Place {
  readonly model: RoutedModel
  readonly abort: AbortController
  words: ShelvedModel | null
  /** Why the last try failed. */
  problem: string | null
}

const RETRY_MS = 2_000

/** The words of every model that is routed to, each opened once however many deployments run it. */
export class ModelShelf {
  readonly #options: ShelfOptions
  readonly #open: OpenWords
  readonly #logger: Logger
  readonly #places = new Map<string, Place>()
  readonly #working = new Set<Promise<void>>()

  constructor(options: ShelfOptions, open: OpenWords, logger: Logger) {
    this.#options = options
    this.#open = open
    this.#logger = logger
  }

  /** Opens what is new; closes what nobody routes to. Requests that began with it are done with tokenizing by then, or fail. */
  sync(targets: readonly RouteTarget[]): void {
    const wanted = new Map(targets.map(({ model }) => [model.fingerprint, model]))
    for (const [fingerprint, place] of this.#places) {
      if (!wanted.has(fingerprint)) this.#close(fingerprint, place)
    }
    for (const [fingerprint, model] of wanted) {
      if (!this.#places.has(fingerprint)) this.#begin(fingerprint, model)
    }
  }

  /** @throws NotReadyError while it is being opened, or why it could not be */
  words(fingerprint: string): ServedModel {
    const place = this.#places.get(fingerprint)
    if (place?.words) return place.words
    const reason = place?.problem ?? 'its tokenizer is being fetched.'
    throw new NotReadyError(reason, RETRY_MS)
  }

  /** By which its KV is coded; `null` if there is none, or not yet. */
  calibration(fingerprint: string): Calibration | null {
    return this.#places.get(fingerprint)?.words?.calibration ?? null
  }

  /** Models that are open, and all that are wanted. */
  get counts(): { readonly open: number; readonly wanted: number } {
    const open = [...this.#places.values()].filter(({ words }) => words !== null).length
    return { open, wanted: this.#places.size }
  }

  async stop(): Promise<void> {
    for (const [fingerprint, place] of this.#places) this.#close(fingerprint, place)
    await Promise.all(this.#working)
  }

  #begin(fingerprint: string, model: RoutedModel): void {
    const place: Place = { model, abort: new AbortController(), words: null, problem: null }
    this.#places.set(fingerprint, place)
    this.#track(this.#fill(place))
  }

  #close(fingerprint: string, place: Place): void {
    this.#places.delete(fingerprint)
    place.abort.abort()
    if (place.words !== null) this.#track(place.words.stop())
  }

  #track(work: Promise<void>): void {
    const tracked = work.catch((error: unknown) => {
      this.#logger.warn({ err: error }, 'A tokenizer did not end well.')
    })
    this.#working.add(tracked)
    void tracked.finally(() => this.#working.delete(tracked))
  }

  async #fill(place: Place): Promise<void> {
    const { signal } = place.abort
    const { firstDelayMs, maxDelayMs } = this.#options.retry
    for (let delayMs = firstDelayMs; !signal.aborted; delayMs = Math.min(maxDelayMs, delayMs * 2)) {
      try {
        const words = await this.#open(place.model, signal)
        if (signal.aborted) return await words.stop()
        place.words = words
        place.problem = null
        this.#logger.info({ model: place.model.name }, 'The words of a model are open.')
        return
      } catch (error) {
        if (signal.aborted) return
        place.problem = `its tokenizer could not be opened: ${describeError(error)}`
        this.#logger.warn({ model: place.model.name }, `A model waits, ${place.problem}`)
      }
      await pause(delayMs, signal)
    }
  }
}

function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, delayMs)
    signal.addEventListener('abort', done, { once: true })
  })
}
