import type {
  Backend,
  BackendStatus,
  EmbedRequest,
  GenerateEvent,
  GenerateRequest,
} from '../inference/backend.ts'
import { InterruptedError, NotReadyError } from '../inference/errors.ts'
import type { HandoverSettings } from './handover.ts'
import { type Delivered, type DeliverySide, KvDelivery } from './kv-delivery.ts'
import type { KvQuality } from './kv-quality.ts'
import type { SplitAdvisor } from './split-advisor.ts'

export interface SplitCounters {
  /** Prompts whose KV came from the prefill ring, and their positions. */
  handedOver: number
  tokens: number
  /** Those of which only a part came. */
  partly: number
  /** Hand-overs that failed: the decode ring computed the prompt. */
  failed: number
  /** Answers that the prefill ring gave, since the decode ring could not. */
  takenBack: number
  /** Prompts whose KV came with loss, and times that the guard refused such. */
  lossy: number
  refused: number
}

export interface SplitBackendParts {
  readonly prefill: DeliverySide
  readonly decode: DeliverySide
  readonly advisor: SplitAdvisor
  readonly settings: HandoverSettings
  /** How KV is coded on its way. */
  readonly quality: KvQuality
  /** Monotonic, in ms. */
  readonly now: () => number
  /** What was decided about a request, and what became of it. */
  readonly onNote: (requestId: string, text: string) => void
}

/**
 * Two rings as one backend: where it is faster, one computes the prompt and the other continues. Either can do all of it,
 * so that what fails between them is a pause.
 */
export class SplitBackend implements Backend {
  readonly #counters: SplitCounters = {
    ...{ handedOver: 0, tokens: 0, partly: 0, failed: 0, takenBack: 0, lossy: 0, refused: 0 },
  }
  #lastReason = ''

  constructor(private readonly parts: SplitBackendParts) {}

  status(): BackendStatus {
    const { prefill, decode } = this.parts
    const [first, second] = [decode.backend.status(), prefill.backend.status()]
    const lengths = [first.contextLength, second.contextLength].filter((length) => length !== null)
    const { handedOver, tokens, partly, failed, takenBack, lossy, refused } = this.#counters
    return {
      ready: first.ready || second.ready,
      active: first.active,
      queued: first.queued,
      contextLength: lengths.length === 0 ? null : Math.min(...lengths),
      usage: first.usage,
      details: {
        decode: first.details,
        prefill: second.details,
        split: {
          ...{ handed_over: handedOver, tokens, partly, failed, taken_back: takenBack, lossy, refused },
          last_reason: this.#lastReason,
        },
      },
    }
  }

  embed(request: EmbedRequest, signal: AbortSignal): Promise<Float32Array> {
    return this.parts.decode.backend.embed(request, signal)
  }

  async *generate(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent, void> {
    const delivered = [...(request.delivered ?? [])]
    try {
      for await (const event of this.#decode(request, signal)) {
        delivered.push(event.sampled.token)
        yield event
        if (event.finish !== null) return
      }
    } catch (error) {
      const { prefill } = this.parts
      const lost = error instanceof NotReadyError || error instanceof InterruptedError
      if (!lost || signal.aborted || !prefill.backend.status().ready) throw error
      this.#counters.takenBack += 1
      this.#note(request.id, `The prefill ring answers by itself: ${error.message}`)
      yield* prefill.backend.generate({ ...request, id: `${request.id}.p`, delivered }, signal)
    }
  }

  async *#decode(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent, void> {
    const { prefill, decode, now } = this.parts
    const both = prefill.connection.ready && decode.connection.ready
    const resumed = (request.delivered?.length ?? 0) > 0
    const beganMs = now()
    if (!both || resumed || !this.#choose(request.id, request.tokens.length)) {
      yield* this.#plain(request, beganMs, signal)
      return
    }
    const worth = (missing: number): boolean => this.#choose(request.id, missing)
    const onNote = (text: string): void => this.#note(request.id, text)
    const delivery = new KvDelivery(request, { ...this.parts, worth, onNote })
    const end = (): void => delivery.end()
    signal.addEventListener('abort', end)
    try {
      const delivered = await delivery.run(signal)
      const { position, cachedTokens, durationMs, reason, scope } = delivered
      signal.throwIfAborted()
      if (!decode.connection.ready) throw new NotReadyError('The decode ring is not there.', 1_000)
      const startMs = now()
      let first = true
      for await (const event of decode.backend.generate({ ...request, tenant: scope }, signal)) {
        if (first) {
          delivery.started()
          this.#count(request, delivered)
          if (position !== null && reason === '') {
            this.parts.advisor.handedOver(position - cachedTokens, durationMs, now() - startMs)
          }
        }
        first = false
        yield event
      }
    } finally {
      signal.removeEventListener('abort', end)
      delivery.end()
    }
  }

  async *#plain(
    request: GenerateRequest,
    beganMs: number,
    signal: AbortSignal,
  ): AsyncGenerator<GenerateEvent, void> {
    let first = true
    for await (const event of this.parts.decode.backend.generate(request, signal)) {
      if (first) {
        const missing = request.tokens.length - event.cachedTokens
        this.parts.advisor.computedHere(missing, this.parts.now() - beganMs)
      }
      first = false
      yield event
    }
  }

  #choose(id: string, tokens: number): boolean {
    const { split, reason } = this.parts.advisor.choose(tokens)
    this.#note(id, reason)
    return split
  }

  #count({ id }: GenerateRequest, { position, reason, lossy, refusals }: Delivered): void {
    this.#counters.refused += refusals
    if (lossy) this.#counters.lossy += 1
    if (position === null) {
      this.#counters.failed += 1
      this.#note(id, `Nothing was handed over: ${reason}`)
      return
    }
    this.#counters.handedOver += 1
    this.#counters.tokens += position
    if (reason !== '') this.#counters.partly += 1
    this.#note(id, `Positions below ${position} were handed over.${reason === '' ? '' : ` ${reason}`}`)
  }

  #note(id: string, text: string): void {
    this.#lastReason = text
    this.parts.onNote(id, text)
  }
}
