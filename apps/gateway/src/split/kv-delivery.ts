import { describeError } from '@deos/domain'
import type { Backend, GenerateRequest } from '../inference/backend.ts'
import { Handover, type HandoverResult, type HandoverSettings, type SplitRing } from './handover.ts'
import type { KvLevels, KvQuality } from './kv-quality.ts'
import { GUARD_PROBES, judgeProbes, type PromptProbes, probePrompt } from './prompt-probes.ts'

export interface DeliverySide extends SplitRing {
  readonly backend: Backend
}

export interface DeliveryParts {
  /** Without a backend nothing can be compared, and nothing comes with loss. */
  readonly prefill: SplitRing & { readonly backend: Backend | null }
  readonly decode: DeliverySide
  readonly settings: HandoverSettings
  readonly quality: KvQuality
  /** Whether so many positions are worth it. */
  readonly worth: (missingTokens: number) => boolean
  readonly now: () => number
  readonly onNote: (text: string) => void
}

export interface Delivered extends HandoverResult {
  /** Under whose name the decode ring finds it. */
  readonly scope: string
  /** It came with loss, which the guard let pass. */
  readonly lossy: boolean
  /** Times that the guard refused. */
  readonly refusals: number
}

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
      const { result, exact } = await this.#handOver(levels, scope, round)
      signal.throwIfAborted()
      const whole = result.position !== null && result.complete
      const delivered = { ...result, durationMs: now() - beganMs, refusals: this.#refusals }
      if (whole) this.#measure(levels, result, exact, now())
      if (!levels.lossy) return { ...delivered, scope, lossy: false }
      if (!whole) {
        // Nobody compared what came: it is computed where it is needed.
        this.#handover?.end()
        const reason = result.reason || 'Not all of it came in time.'
        return { ...delivered, position: null, reason, scope: this.request.tenant, lossy: false }
      }
      if (await this.#judge(scope, round, exact, signal)) {
        return { ...delivered, durationMs: now() - beganMs, scope, lossy: true }
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
    const { tokens, needs } = this.request
    const { adapter } = needs
    const levels = quality.choose({ reports, layers, tokens: tokens.length, adapter, round })
    onNote(levels.reason)
    return levels
  }

  async #handOver(levels: KvLevels, scope: string, round: number) {
    const { prefill, decode, settings, quality, worth } = this.parts
    const count = levels.lossy ? GUARD_PROBES : quality.measures ? 1 : 0
    const { backend } = prefill
    let exact: Exact | null = null
    const onPrefill = (): void => {
      if (backend !== null && count > 0) exact = this.#probeExactly(backend, count, round)
    }
    const coding = { ...levels, scope, onPrefill }
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

  async #judge(scope: string, round: number, exact: Exact | null, signal: AbortSignal): Promise<boolean> {
    const { decode, quality, onNote } = this.parts
    try {
      const how = { name: `g${round}.`, scope, count: GUARD_PROBES }
      const found = probePrompt(decode.backend, this.request, how, this.#over.signal)
      const [own, other] = await Promise.all([
        exact?.probes ?? Promise.reject(new Error('Nobody was asked.')),
        found,
      ])
      const { passes, text } = judgeProbes(own, other)
      quality.judged(passes)
      onNote(`The guard ${passes ? 'lets it pass' : 'refuses it'}: ${text}.`)
      return passes
    } catch (error) {
      signal.throwIfAborted()
      quality.judged(false)
      onNote(`The guard could not compare: ${describeError(error)}`)
      return false
    }
  }
}
