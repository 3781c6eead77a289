import { describeError } from '@deos/domain'
import type { Backend, GenerateRequest } from '../inference/backend.ts'
import {
  Handover,
  type HandoverResult,
  type HandoverSettings,
  type Refinement,
  type SplitRing,
} from './handover.ts'
import type { KvLevels, KvQuality } from './kv-quality.ts'
import {
  GUARD_PROBES,
  type GuardVerdict,
  judgeProbes,
  type PromptProbes,
  probePrompt,
} from './prompt-probes.ts'

export interface DeliverySide extends SplitRing {
  readonly backend: Backend
}

export interface DeliveryParts {
  readonly prefill: SplitRing
  /** The prefill ring, which the guard asks what follows from exact KV. */
  readonly exact: Backend
  readonly decode: DeliverySide
  readonly settings: HandoverSettings
  readonly quality: KvQuality
  /** Whether so many positions are worth it. */
  readonly worth: (missingTokens: number) => boolean
  readonly now: () => number
  readonly onNote: (text: string) => void
  /** Told while better copies come after the start, and when no more do. */
  readonly onRefined: (refinement: Refinement) => void
}

export interface Delivered extends HandoverResult {
  /** Under whose name the decode ring finds it. */
  readonly scope: string
  /** It came with loss, which the guard let pass. */
  readonly lossy: boolean
  /** Times that the guard refused. */
  readonly refusals: number
  /** Of its blocks, each once. */
  readonly levels: readonly number[]
  /** Why these, and what the guard made of it; for people. */
  readonly coding: string
}

/** An answer this short is over before better copies could help it. */
const LEAST_REFINED_TOKENS = 32

/** Exact answers of the prefill ring; rejected ones are looked at when they are needed. */
interface Exact {
  readonly probes: Promise<PromptProbes>
  computedMs: number | null
}

/**
 * Brings one prompt's KV to the decode ring at the levels chosen. What came with loss is compared before anybody builds
 * upon it: the same last positions are continued by both rings. If they differ too much it comes again, better, and in the
 * end without loss; what was refused stays where nobody looks.
 */
export class KvDelivery {
  #handover: Handover | null = null
  #refusals = 0
  readonly #over = new AbortController()

  constructor(
    private readonly request: GenerateRequest,
    private readonly parts: DeliveryParts,
  ) {}

  /**
   * Resolves when the decode ring may be asked, in any case.
   *
   * @throws the signal's reason once that is aborted
   */
  async run(signal: AbortSignal): Promise<Delivered> {
    const { quality, now } = this.parts
    const beganMs = now()
    for (let round = 0; ; round += 1) {
      const levels = this.#levels(round)
      const scope = levels.lossy ? quality.scope(this.request.tenant) : this.request.tenant
      const { result, exact: asked } = await this.#handOver(levels, scope, round)
      signal.throwIfAborted()
      const whole = result.position !== null && result.complete
      const delivered = {
        ...{ ...result, durationMs: now() - beganMs, refusals: this.#refusals },
        ...{ levels: [...new Set(levels.levels)].sort((a, b) => a - b), coding: levels.reason },
      }
      if (whole) this.#measure(levels, result, asked, now())
      if (!levels.lossy) return { ...delivered, scope, lossy: false }
      // Nearly all of it came with an earlier prompt: it is judged again, for this one.
      const kept = result.position === null && result.cachedTokens > 0
      if (!whole && !kept) {
        // Nobody compared what came: it is computed where it is needed.
        this.#handover?.end()
        const reason = result.reason || 'Not all of it came in time.'
        return { ...delivered, levels: [], position: null, reason, scope: this.request.tenant, lossy: false }
      }
      const { exact: backend } = this.parts
      const exact = asked ?? this.#probeExactly(backend, GUARD_PROBES, round)
      const verdict = await this.#judge(scope, round, exact, signal)
      if (verdict.passes) {
        const coding = `${levels.reason} ${verdict.text}`
        return { ...delivered, coding, durationMs: now() - beganMs, scope, lossy: true }
      }
      signal.throwIfAborted()
      this.#refusals += 1
      this.#handover?.end()
    }
  }

  /** The decode ring has the session. */
  started(): void {
    this.#handover?.started()
  }

  /** The request is over, one way or another. */
  end(): void {
    this.#over.abort()
    this.#handover?.end()
  }

  #levels(round: number): KvLevels {
    const { prefill, decode, quality, onNote } = this.parts
    const reports = [prefill, decode].flatMap(({ connection }) => connection.status?.reports ?? [])
    const layers = decode.connection.status?.reports.at(-1)?.layers[1] ?? 0
    const { tokens, needs, maxTokens } = this.request
    const { adapter } = needs
    const refine = maxTokens >= LEAST_REFINED_TOKENS
    const levels = quality.choose({ reports, layers, tokens: tokens.length, adapter, round, refine })
    onNote(levels.reason)
    return levels
  }

  async #handOver(levels: KvLevels, scope: string, round: number) {
    const { prefill, decode, settings, quality, worth, exact: backend, onRefined } = this.parts
    const count = levels.lossy ? GUARD_PROBES : quality.measures ? 1 : 0
    let exact: Exact | null = null
    const onPrefill = (): void => {
      if (count > 0) exact = this.#probeExactly(backend, count, round)
    }
    const coding = { ...levels, scope, onPrefill, onRefined }
    // A prompt that came before goes on, whatever it still lacks.
    const wanted = round === 0 ? worth : () => true
    this.#handover = new Handover(this.request, prefill, decode, settings, wanted, coding, round)
    const result = await this.#handover.run()
    return { result, exact: exact as Exact | null }
  }

  /** These wait in the prefill ring until the prompt, which they begin like, is computed. */
  #probeExactly(backend: Backend, count: number, round: number): Exact {
    const { now } = this.parts
    const how = { name: `e${round}.`, scope: this.request.tenant, count }
    const exact: Exact = {
      computedMs: null,
      probes: probePrompt(backend, this.request, how, this.#over.signal, () => {
        exact.computedMs = now()
      }),
    }
    exact.probes.catch(() => undefined)
    return exact
  }

  #measure({ bytes }: KvLevels, result: HandoverResult, exact: Exact | null, endMs: number): void {
    const { durationMs, position, cachedTokens } = result
    const tokens = (position ?? 0) - cachedTokens
    if (exact === null || durationMs <= 0) return
    // Where the answer is not here yet, the prompt was just computed.
    const exposedMs = exact.computedMs === null ? 0 : Math.min(durationMs, endMs - exact.computedMs)
    const share = tokens / this.request.tokens.length
    this.parts.quality.measured({ tokens, bytes: bytes * share, durationMs, exposedMs })
  }

  async #judge(scope: string, round: number, exact: Exact, signal: AbortSignal): Promise<GuardVerdict> {
    const { decode, quality, onNote } = this.parts
    const told = (passes: boolean, text: string): GuardVerdict => {
      onNote(text)
      return { passes, text }
    }
    try {
      const how = { name: `g${round}.`, scope, count: GUARD_PROBES }
      const found = probePrompt(decode.backend, this.request, how, this.#over.signal)
      const [own, other] = await Promise.all([exact.probes, found])
      const { passes, text } = judgeProbes(own, other)
      quality.judged(passes)
      return told(passes, `The guard ${passes ? 'lets it pass' : 'refuses it'}: ${text}.`)
    } catch (error) {
      signal.throwIfAborted()
      return told(false, `The guard could not compare: ${describeError(error)}`)
    }
  }
}
