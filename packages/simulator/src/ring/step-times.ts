import type { StepEntry } from '@deos/protocol'
import { SimulationInputError } from '../errors.ts'

/** A measured time: [tokens or sessions in the step, ms]. */
export type StepPoint = readonly [count: number, ms: number]

/** What a stage's engine was measured to take, and what passes between being asked and answering besides. */
export interface StageTiming {
  /** Of steps with nothing but so many sessions, one token each; ascending, from 1. */
  readonly decode: readonly StepPoint[]
  /** Of steps with nothing but so many prompt tokens of one session; ascending. */
  readonly prompt: readonly StepPoint[]
  /** Added by each thousand positions that decoding sessions attend to, beyond those of the measured steps. */
  readonly contextMs: number
  /**
   * Added by each thousand positions that the tokens of a later piece of a prompt attend to, of those before the piece.
   * Tokens of a piece attend together, which costs less than if each did alone.
   */
  readonly promptContextMs: number
  /** Positions that a session of the `decode` points attended to. */
  readonly decodeContext: number
  /** On the way to the engine and back, for each step. */
  readonly hostMs: number
}

/**
 * Time of a step out of measured ones: what it takes with its decoding sessions, and what its prompt tokens add to the
 * smallest step. Between points it is linear, beyond the last two too.
 */
export class StepTimes {
  readonly #decode: readonly StepPoint[]
  readonly #prompt: readonly StepPoint[]
  readonly #baseMs: number

  /** @throws SimulationInputError if points are missing or do not ascend */
  constructor(private readonly timing: StageTiming) {
    this.#decode = checked('decode', timing.decode)
    this.#prompt = checked('prompt', timing.prompt)
    // What a step takes with nothing in it, as the two smallest say.
    this.#baseMs = Math.max(0, Math.min(at(this.#decode, 0), this.#decode[0]![1]))
  }

  get hostMs(): number {
    return this.timing.hostMs
  }

  /** @returns ms that the engine computes */
  of(entries: readonly StepEntry[]): number {
    const { contextMs, promptContextMs, decodeContext } = this.timing
    let decodes = 0
    let promptTokens = 0
    let context = 0
    let promptContext = 0
    for (const { position, count } of entries) {
      if (count === 1) {
        decodes += 1
        context += position - decodeContext
      } else {
        promptTokens += count
        // A prompt that begins is measured; what comes before a later piece of it is not.
        promptContext += count * position
      }
    }
    const decodeMs = decodes === 0 ? this.#baseMs : at(this.#decode, decodes)
    const promptMs = promptTokens === 0 ? 0 : at(this.#prompt, promptTokens) - this.#baseMs
    const contextsMs = (contextMs * context + promptContextMs * promptContext) / 1000
    return Math.max(0, decodeMs + Math.max(0, promptMs) + contextsMs)
  }
}

function checked(name: string, points: readonly StepPoint[]): readonly StepPoint[] {
  if (points.length < 2) throw new SimulationInputError(`${name} points`, points.length, 'two or more')
  for (const [index, [count, ms]] of points.entries()) {
    const before = points[index - 1]?.[0] ?? 0
    if (!(count > before)) {
      throw new SimulationInputError(`${name} points[${index}]`, count, `more than ${before}`)
    }
    if (!(ms >= 0)) throw new SimulationInputError(`${name} points[${index}]`, ms, 'a time')
  }
  return points
}

function at(points: readonly StepPoint[], count: number): number {
  let right = 1
  while (right < points.length - 1 && points[right]![0] < count) right += 1
  const [leftCount, leftMs] = points[right - 1]!
  const [rightCount, rightMs] = points[right]!
  return leftMs + ((rightMs - leftMs) * (count - leftCount)) / (rightCount - leftCount)
}
