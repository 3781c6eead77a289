import { adviseSplit } from '@deos/planner'
import type { SplitMode } from './split-modes.ts'

export interface SplitChoice {
  readonly split: boolean
  /** For people. */
  readonly reason: string
}

/** Samples that each way needs before the two are compared. */
const ENOUGH = 2
/** Samples that are remembered: conditions change. */
const KEPT = 32
/** Prompts computed here after which a hand-over is tried again: what made them slow may be over. */
const TRY_AGAIN = 32
const LATEST_TRY = 1024

/** Times that grow with a number of tokens, as the last samples say. */
class Line {
  #samples: { readonly tokens: number; readonly ms: number }[] = []

  get known(): boolean {
    return this.#samples.length >= ENOUGH
  }

  add(tokens: number, ms: number): void {
    this.#samples.push({ tokens, ms })
    if (this.#samples.length > KEPT) this.#samples.shift()
  }

  /** Per token, with nothing for none. */
  get rate(): number {
    const tokens = this.#samples.reduce((sum, sample) => sum + sample.tokens, 0)
    return tokens === 0 ? 0 : this.#samples.reduce((sum, sample) => sum + sample.ms, 0) / tokens
  }

  /** Least squares; a rate alone where all samples are alike, or noise says that more tokens take less. */
  get fit(): { readonly startMs: number; readonly msPerToken: number } {
    const count = this.#samples.length
    const tokens = this.#samples.reduce((sum, sample) => sum + sample.tokens, 0) / count
    const ms = this.#samples.reduce((sum, sample) => sum + sample.ms, 0) / count
    let cross = 0
    let square = 0
    for (const sample of this.#samples) {
      cross += (sample.tokens - tokens) * (sample.ms - ms)
      square += (sample.tokens - tokens) ** 2
    }
    const msPerToken = square === 0 ? -1 : cross / square
    const startMs = ms - msPerToken * tokens
    return msPerToken < 0 || startMs < 0 ? { startMs: 0, msPerToken: this.rate } : { startMs, msPerToken }
  }
}

/** Decides which prompts another ring computes, from what either way took so far. */
export class SplitAdvisor {
  readonly #here = new Line()
  readonly #there = new Line()
  readonly #takeOver = new Line()
  /** Prompts computed here since the last hand-over. */
  #sinceThere = 0
  #tryAgainAfter = TRY_AGAIN

  constructor(
    private readonly mode: SplitMode,
    /** Shorter prompts are never split. */
    private readonly leastTokens: number,
  ) {}

  /** @param tokens - positions that the decode ring does not have */
  choose(tokens: number): SplitChoice {
    if (this.mode === 'never') return { split: false, reason: 'Prompts are computed where they are decoded.' }
    if (tokens < this.leastTokens) {
      return { split: false, reason: `${tokens} positions are less than the ${this.leastTokens} of a block.` }
    }
    if (this.mode === 'always') return { split: true, reason: 'Every prompt of a block or more is split.' }
    if (!this.#here.known) return { split: false, reason: 'How long prompts take here is being measured.' }
    if (!this.#there.known) return { split: true, reason: 'How long hand-overs take is being measured.' }
    const { startMs, msPerToken } = this.#there.fit
    const choice = adviseSplit(tokens, {
      hereMsPerToken: this.#here.rate,
      thereMsPerToken: msPerToken,
      thereStartMs: startMs,
      takeOverMs: this.#takeOver.rate,
      // Hand-overs are measured as a whole, so that their way is in the rates above.
      ...{ bytesPerToken: 0, bytesPerSecond: 1, rttMs: 0, lastPieceBytes: 0 },
    })
    return choice.split || this.#sinceThere < this.#tryAgainAfter
      ? choice
      : { split: true, reason: `How long hand-overs take is measured again. ${choice.reason}` }
  }

  /** A prompt was computed by the decode ring: `tokens` positions until the first token. */
  computedHere(tokens: number, durationMs: number): void {
    if (tokens < this.leastTokens) return
    this.#here.add(tokens, durationMs)
    this.#sinceThere += 1
  }

  /** A prompt was handed over, and the decode ring then took `takeOverMs` to its first token. */
  handedOver(tokens: number, durationMs: number, takeOverMs: number): void {
    this.#there.add(tokens, durationMs)
    this.#takeOver.add(1, takeOverMs)
    this.#sinceThere = 0
    this.#tryAgainAfter = TRY_AGAIN
  }

  /** Not all of a prompt came: it took so long to its first token all the same. Tried again later each time. */
  fellShort(tokens: number, durationMs: number): void {
    this.#there.add(tokens, durationMs)
    this.#sinceThere = 0
    this.#tryAgainAfter = Math.min(LATEST_TRY, 2 * this.#tryAgainAfter)
  }
}
