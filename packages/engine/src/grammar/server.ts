import { GrammarEngine, type GrammarEngineOptions } from './engine.ts'
import { describeFailure, type GrammarReply, type GrammarRequest } from './thread-messages.ts'
import type { GrammarVocabulary } from './vocabulary.ts'

/** Answers requests with an engine, in order; the same on a thread of its own and on the caller's. */
export class GrammarServer {
  readonly #engine: GrammarEngine
  /** Why sessions can go on no more, for their next mask. */
  readonly #broken = new Map<number, unknown>()

  /** @throws like the constructor of {@link GrammarEngine} */
  constructor(vocabulary: GrammarVocabulary, options: GrammarEngineOptions) {
    this.#engine = new GrammarEngine(vocabulary, options)
  }

  /** @returns `null` for a request that gets no reply */
  handle(request: GrammarRequest): GrammarReply | null {
    switch (request.kind) {
      case 'accept':
        this.#accept(request.key, request.token)
        return null
      case 'close':
        this.#engine.close(request.key)
        this.#broken.delete(request.key)
        return null
      default:
        try {
          return { id: request.id, ...this.#answer(request) }
        } catch (error) {
          return { id: request.id, failure: describeFailure(error) }
        }
    }
  }

  #answer(request: Exclude<GrammarRequest, { kind: 'accept' | 'close' }>): Pick<GrammarReply, 'mask'> {
    switch (request.kind) {
      case 'prepare':
        this.#engine.prepare(request.specText, request.maxTokens)
        return {}
      case 'open':
        this.#broken.delete(request.key)
        this.#engine.open(request.key, request.specText, request.generated, request.maxTokens)
        return {}
      case 'mask':
        if (this.#broken.has(request.key)) throw this.#broken.get(request.key)
        return { mask: this.#engine.mask(request.key) }
    }
  }

  #accept(key: number, token: number): void {
    try {
      this.#engine.accept(key, token)
    } catch (error) {
      if (!this.#broken.has(key)) this.#broken.set(key, error)
    }
  }
}
