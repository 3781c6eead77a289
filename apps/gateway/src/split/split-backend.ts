import type {
  Backend,
  BackendStatus,
  EmbedRequest,
  GenerateEvent,
  GenerateRequest,
} from '../inference/backend.ts'
import { InterruptedError, NotReadyError } from '../inference/errors.ts'
import type { HandoverSettings, Refinement, SplitRing } from './handover.ts'
import { type Delivered, type DeliverySide, KvDelivery } from './kv-delivery.ts'
import type { KvQuality } from './kv-quality.ts'
import type { SplitAdvisor, SplitChoice } from './split-advisor.ts'

/** What became of a request's prompt. */
export interface SplitOutcome {
  /** Whether KV that another ring computed was used, were it a part. */
  readonly used: boolean
  readonly reason: string
  /** Positions that the decode ring did not have to compute for that. */
  readonly tokens: number
  /** KV that travelled for them. */
  readonly bytes: number
  /** At which its layers were coded, each once; 0 is exact. */
  readonly levels: readonly number[]
  /** Times that the guard refused what came with loss. */
  readonly refusals: number
}

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
  /** Of those with loss, which better copies followed to the last block; their bytes, and those of others that ended early. */
  refined: number
  refinedBytes: number
}

export interface SplitBackendParts {
  /** Without a backend it answers nothing by itself. */
  readonly prefill: SplitRing & { readonly backend: Backend | null }
  /** The prefill ring, which the guard asks what follows from exact KV. */
  readonly exact: Backend
  readonly decode: DeliverySide
  readonly advisor: SplitAdvisor
  readonly settings: HandoverSettings
  /** How KV is coded on its way. */
  readonly quality: KvQuality
  /** Monotonic, in ms. */
  readonly now: () => number
  /** What was decided about a request, and what became of it. */
  readonly onNote: (requestId: string, text: string) => void
  /** Told once for each request, when its first token comes. */
  readonly onOutcome?: (outcome: SplitOutcome) => void
  /** Told, after that, while better copies come and once when no more do: it may be after the last token. */
  readonly onRefined?: (refinement: Refinement) => void
}

/** Before its first token: the decode ring is looked at so often, and is not waited for when it lacked so many times. */
const LOOK_MS = 250
const LOOKS = 4

/**
 * Two rings as one backend: where it is faster, one computes the prompt and the other continues. Either can do all of it,
 * so that what fails between them is a pause.
 */
export class SplitBackend implements Backend {
  readonly #counters: SplitCounters = {
    ...{ handedOver: 0, tokens: 0, partly: 0, failed: 0, takenBack: 0, lossy: 0, refused: 0 },
    ...{ refined: 0, refinedBytes: 0 },
  }
  #lastReason = ''

  constructor(private readonly parts: SplitBackendParts) {}

  status(): BackendStatus {
    const { prefill, decode } = this.parts
    const [first, second] = [decode.backend.status(), prefill.backend?.status() ?? null]
    const lengths = [first.contextLength, second?.contextLength ?? null].filter((length) => length !== null)
    const { handedOver, tokens, partly, failed, takenBack, lossy, refused } = this.#counters
    const { refined, refinedBytes } = this.#counters
    return {
      ready: first.ready || second?.ready === true,
      active: first.active,
      queued: first.queued,
      contextLength: lengths.length === 0 ? null : Math.min(...lengths),
      usage: first.usage,
      details: {
        decode: first.details,
        prefill: second?.details ?? {},
        split: {
          ...{ handed_over: handedOver, tokens, partly, failed, taken_back: takenBack, lossy, refused },
          ...{ refined, refined_bytes: refinedBytes },
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
    const waiting = this.#waiting()
    try {
      for await (const event of this.#decode(request, AbortSignal.any([signal, waiting.signal]))) {
        waiting.end()
        delivered.push(event.sampled.token)
        yield event
        if (event.finish !== null) return
      }
    } catch (error) {
      waiting.end()
      const { backend } = this.parts.prefill
      const lost = error instanceof NotReadyError || error instanceof InterruptedError
      if (!lost || signal.aborted || backend?.status().ready !== true) throw error
      this.#counters.takenBack += 1
      this.#note(request.id, `The prefill ring answers by itself: ${error.message}`)
      yield* backend.generate({ ...request, id: `${request.id}.p`, delivered }, signal)
    } finally {
      waiting.end()
    }
  }

  /** A ring that is not whole keeps requests for a while; nobody waits for it where the other ring can answer. */
  #waiting(): { readonly signal: AbortSignal; end(): void } {
    const { prefill, decode } = this.parts
    const given = new AbortController()
    let lacking = 0
    const timer = setInterval(() => {
      lacking = decode.connection.ready ? 0 : lacking + 1
      if (lacking < LOOKS || prefill.backend?.status().ready !== true) return
      given.abort(new NotReadyError('The decode ring is not whole.', 1_000))
    }, LOOK_MS)
    return { signal: given.signal, end: () => clearInterval(timer) }
  }

  async *#decode(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent, void> {
    const { decode, now } = this.parts
    const beganMs = now()
    const refusal = this.#refusal(request)
    if (refusal !== null) {
      yield* this.#plain(request, beganMs, refusal, signal)
      return
    }
    let advice = ''
    const worth = (missing: number): boolean => {
      const choice = this.#choose(request.id, missing)
      advice = choice.reason
      return choice.split
    }
    const onNote = (text: string): void => this.#note(request.id, text)
    const seen = { bytes: 0, ended: false }
    const onRefined = (refinement: Refinement): void => this.#refined(request.id, refinement, seen)
    const delivery = new KvDelivery(request, { ...this.parts, worth, onNote, onRefined })
    const end = (): void => delivery.end()
    signal.addEventListener('abort', end)
    try {
      const delivered = await delivery.run(signal)
      const { position, cachedTokens, scope } = delivered
      signal.throwIfAborted()
      if (!decode.connection.ready) throw new NotReadyError('The decode ring is not there.', 1_000)
      const startMs = now()
      let first = true
      for await (const event of decode.backend.generate({ ...request, tenant: scope }, signal)) {
        if (first) {
          delivery.started()
          this.#count(request, delivered, advice)
          this.#learn(delivered, now() - startMs)
        }
        first = false
        // What came from the prefill ring was computed for this request, too.
        yield position === null
          ? event
          : { ...event, cachedTokens: Math.min(event.cachedTokens, cachedTokens) }
      }
    } finally {
      signal.removeEventListener('abort', end)
      delivery.end()
    }
  }

  async *#plain(
    request: GenerateRequest,
    beganMs: number,
    reason: string,
    signal: AbortSignal,
  ): AsyncGenerator<GenerateEvent, void> {
    let first = true
    for await (const event of this.parts.decode.backend.generate(request, signal)) {
      if (first) {
        const missing = request.tokens.length - event.cachedTokens
        this.parts.advisor.computedHere(missing, this.parts.now() - beganMs)
        this.#tell({ used: false, reason, tokens: 0, bytes: 0, levels: [], refusals: 0 })
      }
      first = false
      yield event
    }
  }

  /** Why the decode ring computes the prompt; `null` if the other one may. */
  #refusal({ id, tokens, delivered = [] }: GenerateRequest): string | null {
    const { prefill, decode } = this.parts
    if (!prefill.connection.ready) return 'The prefill ring is not there.'
    if (!decode.connection.ready) return 'The decode ring is not there.'
    if (delivered.length > 0) return 'An answer that was interrupted goes on where it can.'
    const { split, reason } = this.#choose(id, tokens.length)
    return split ? null : reason
  }

  #choose(id: string, tokens: number): SplitChoice {
    const choice = this.parts.advisor.choose(tokens)
    this.#note(id, choice.reason)
    return choice
  }

  #count(
    { id }: GenerateRequest,
    { position, cachedTokens, bytes, reason, lossy, refusals, levels, coding }: Delivered,
    advice: string,
  ): void {
    this.#counters.refused += refusals
    if (lossy) this.#counters.lossy += 1
    if (position === null) {
      this.#counters.failed += 1
      this.#note(id, `Nothing was handed over: ${reason}`)
      // What an earlier prompt left, with loss, is used again.
      const kept = lossy ? { reason: `${reason} ${coding}`, levels } : { reason, levels: [] }
      this.#tell({ used: false, tokens: 0, bytes, refusals, ...kept })
      return
    }
    this.#counters.handedOver += 1
    this.#counters.tokens += position
    if (reason !== '') this.#counters.partly += 1
    this.#note(id, `Positions below ${position} were handed over.${reason === '' ? '' : ` ${reason}`}`)
    const tokens = Math.max(0, position - cachedTokens)
    const why = `${advice} ${coding}${reason && ` Only a part came: ${reason}`}`
    this.#tell({ used: tokens > 0, reason: why, tokens, bytes, levels, refusals })
  }

  /** What did not come in time was waited for, and computed here all the same. */
  #learn(
    { position, complete, cachedTokens, wantedTokens, durationMs }: Delivered,
    takeOverMs: number,
  ): void {
    const { advisor } = this.parts
    if (position !== null && complete) advisor.handedOver(position - cachedTokens, durationMs, takeOverMs)
    else if (wantedTokens > 0) advisor.fellShort(wantedTokens, durationMs + takeOverMs)
  }

  /** @param seen - what is counted and told already */
  #refined(id: string, refinement: Refinement, seen: { bytes: number; ended: boolean }): void {
    const { level, bytes, endedMs, complete, reason } = refinement
    this.#counters.refinedBytes += bytes - seen.bytes
    seen.bytes = bytes
    if (endedMs !== null && !seen.ended) {
      seen.ended = true
      if (complete) this.#counters.refined += 1
      const took = `after ${Math.round(endedMs)} ms and ${bytes} bytes`
      this.#note(id, `Better copies at level ${level} ended ${took}: ${reason}`)
    }
    this.parts.onRefined?.(refinement)
  }

  #tell(outcome: SplitOutcome): void {
    this.parts.onOutcome?.(outcome)
  }

  #note(id: string, text: string): void {
    this.#lastReason = text
    this.parts.onNote(id, text)
  }
}
