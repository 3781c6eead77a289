import { type Calibration, cheapestLevels, DEFAULT_GUARD } from '@deos/codec'
import type { StageReport } from '@deos/protocol'
import { costsFor } from './kv-costs.ts'
import { chooseEnhancement } from './kv-enhancement.ts'
import type { QualityMode } from './split-modes.ts'

export interface KvQualitySettings {
  readonly mode: QualityMode
  /** The one of the gateway, which says what levels cost; `null` leaves only what is exact. */
  readonly calibration: Calibration | null
  /** How long a hand-over may take after its prompt is computed, before smaller blocks are chosen. */
  readonly budgetMs: number
  /** What the network between the rings carries; `null` has it measured. */
  readonly bytesPerSecond: number | null
  /** How long after the start better copies may travel, where they are wished for. */
  readonly enhanceMs: number
}

/** What is to be handed over. */
export interface KvNeed {
  /** Of the stages of both rings. */
  readonly reports: readonly StageReport[]
  readonly layers: number
  readonly tokens: number
  readonly adapter: string | null
  /** Times that the guard refused what came of this prompt. */
  readonly round: number
  /** The answer is long enough for better copies to help it. */
  readonly refine: boolean
}

/** How the blocks of one hand-over are coded. */
export interface KvLevels {
  /** Of each layer. */
  readonly levels: readonly number[]
  /** Id of the one that all stages have. */
  readonly calibration: string | null
  readonly lossy: boolean
  /** Level that blocks are refined to after the start; `null` leaves them as they come. */
  readonly enhanceTo: number | null
  /** Expected bytes before the start; 0 where nothing is known. */
  readonly bytes: number
  readonly reason: string
}

/** What a hand-over took. */
export interface KvSample {
  readonly tokens: number
  readonly bytes: number
  readonly durationMs: number
  /** After the prompt was computed. */
  readonly exposedMs: number
}

/** Expected divergence of what is chosen: far less than the guard lets pass, since prompts differ by ten times. */
const MAX_HARM = 0.2 * DEFAULT_GUARD.maxKl
/** How much better what is sent after a refusal has to be. */
const BETTER = 4
/** Refusals of one prompt after which only exact blocks are left. */
const MAX_ROUNDS = 1
/** What nobody waited for may be a little more the next time. */
const GROWTH = 1.05
/** A refusal costs a hand-over: after one, about 23 are to pass until as much harm is tried again. */
const TRUST = 1.03

/** Chooses how KV is coded for hand-overs, from what earlier ones took and what the guard made of them. */
export class KvQuality {
  #bytesPerMs: number | null
  #computeMsPerToken = 0
  #maxHarm = MAX_HARM
  #generation = 0

  constructor(private readonly settings: KvQualitySettings) {
    const { bytesPerSecond } = settings
    this.#bytesPerMs = bytesPerSecond === null ? null : bytesPerSecond / 1000
  }

  /** Whether hand-overs are to be measured, even those without loss. */
  get measures(): boolean {
    return this.settings.mode !== 'lossless' && this.settings.calibration !== null
  }

  /**
   * Under whose name what came with loss is kept in the decode ring: never where exact prefixes are looked for, and never
   * again after a refusal.
   */
  scope(tenant: string): string {
    const id = this.settings.calibration?.id ?? ''
    return `${tenant}#kv-${id.slice(0, 8)}-${this.#generation}`
  }

  choose(need: KvNeed): KvLevels {
    const { reports, layers } = need
    const { mode, calibration: own } = this.settings
    const calibration = commonCalibration(reports)
    const exactly = (reason: string): KvLevels => ({
      ...{ levels: Array.from({ length: layers }, () => 0), calibration, lossy: false, reason },
      enhanceTo: null,
      bytes: this.#exactBytes(need),
    })
    if (calibration === null) return exactly(`KV travels exactly, by no calibration: ${whyNone(reports)}.`)
    if (mode === 'lossless') return exactly(`KV travels exactly, by calibration ${calibration}.`)
    if (own?.id !== calibration)
      return exactly(
        `KV travels exactly: stages have calibration ${calibration}, the gateway ${own?.id ?? 'none'}.`,
      )
    if (need.adapter !== null)
      return exactly('KV travels exactly: the calibration knows nothing of adapters.')
    if (need.round > MAX_ROUNDS) return exactly('KV travels exactly, since it was refused before.')
    if (this.#bytesPerMs === null) return exactly('KV travels exactly: what links carry is being measured.')
    return this.#choose(need, own, this.#bytesPerMs, exactly)
  }

  measured({ tokens, bytes, durationMs, exposedMs }: KvSample): void {
    const { bytesPerSecond, budgetMs } = this.settings
    if (tokens <= 0 || durationMs <= 0) return
    const computeMsPerToken = Math.max(0, durationMs - exposedMs) / tokens
    this.#computeMsPerToken =
      this.#computeMsPerToken === 0 ? computeMsPerToken : (this.#computeMsPerToken + computeMsPerToken) / 2
    if (bytesPerSecond !== null || bytes <= 0) return
    const rate = bytes / durationMs
    if (this.#bytesPerMs === null) this.#bytesPerMs = rate
    // Only those that were waited for show what the links can do; the others, that it is at least so much.
    else if (exposedMs > budgetMs) this.#bytesPerMs = (this.#bytesPerMs + rate) / 2
    else this.#bytesPerMs = Math.max(GROWTH * this.#bytesPerMs, rate)
  }

  /** The guard let something with loss pass, or refused it. */
  judged(passed: boolean): void {
    if (passed) {
      this.#maxHarm = Math.min(MAX_HARM, TRUST * this.#maxHarm)
      return
    }
    this.#maxHarm /= 2
    this.#generation += 1
  }

  #choose(
    { reports, tokens, layers, round, refine }: KvNeed,
    { id, costs: ofHalves }: Calibration,
    bytesPerMs: number,
    exactly: (reason: string) => KvLevels,
  ): KvLevels {
    const costs = costsFor(ofHalves, reports)
    if (costs.some((cost) => cost.layers.length !== layers))
      return exactly(`KV travels exactly: calibration ${id} is not of ${layers} layers.`)
    const budgetBytes = bytesPerMs * (this.#computeMsPerToken * tokens + this.settings.budgetMs)
    const maxHarm = this.#maxHarm / BETTER ** round
    const { levels, bytes, harm } = cheapestLevels(costs, { tokens, budgetBytes, maxHarm })
    const rate = `${kilobytes(1000 * bytesPerMs)}/s`
    if (levels.every((level) => level === 0))
      return exactly(
        harm === 0 && bytes <= budgetBytes
          ? `KV travels exactly: that fits at ${rate}.`
          : 'KV travels exactly: no level does little enough harm.',
      )
    const named = [...new Set(levels)].sort((a, b) => a - b).join(', ')
    const { mode, enhanceMs } = this.settings
    const enhancement =
      refine && mode === 'refined'
        ? chooseEnhancement(costs, levels, { tokens, budgetBytes: bytesPerMs * enhanceMs })
        : null
    const follows =
      enhancement && ` Better copies at level ${enhancement.level} follow, ${kilobytes(enhancement.bytes)}.`
    return {
      ...{ levels, calibration: id, lossy: true, bytes, enhanceTo: enhancement?.level ?? null },
      reason:
        `KV travels at level ${named}, ${kilobytes(bytes)} instead of ${kilobytes(exactly('').bytes)}, ` +
        `with ${harm.toFixed(4)} nat expected: ${rate} between the rings.${follows ?? ''}`,
    }
  }

  #exactBytes({ tokens, reports }: KvNeed): number {
    const costs = costsFor(this.settings.calibration?.costs ?? [], reports)
    const exact = costs.find(({ level }) => level === 0)
    return tokens * (exact?.layers.reduce((sum, { bytesPerToken }) => sum + bytesPerToken, 0) ?? 0)
  }
}

/** The calibration that all stages have; `null` if any has another or none. */
function commonCalibration(reports: readonly StageReport[]): string | null {
  const [first] = reports
  return reports.every(({ calibration }) => calibration === first?.calibration)
    ? (first?.calibration ?? null)
    : null
}

function whyNone(reports: readonly StageReport[]): string {
  const known = new Map<string, string[]>()
  for (const { calibration, worker } of reports) {
    const name = calibration ?? 'none'
    known.set(name, [...(known.get(name) ?? []), worker])
  }
  if (known.size <= 1) return 'no stage has one'
  return [...known].map(([name, workers]) => `${workers.join(' and ')} have ${name}`).join(', ')
}

const kilobytes = (bytes: number): string => `${Math.round(bytes / 1000)} kB`
