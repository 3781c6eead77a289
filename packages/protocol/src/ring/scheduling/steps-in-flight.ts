import { roundBudget } from './prefill-budget.ts'

/** What a step costs a stage beside computing: messages, pipes, bookkeeping. */
const STAGE_OVERHEAD_US = 300
/** Small steps cost as much to send as large ones; more of them than this for each stage gain next to nothing. */
const MOST_PER_STAGE = 16
/** Never more are in flight, whatever is measured. @param least - of steps in flight, as configured */
export const mostStepsInFlight = (stages: number, least: number): number =>
  stages === 1 ? least : Math.max(least, MOST_PER_STAGE * stages)

/** Probes of which the quickest, and steps of which the middle one, counts. */
const WINDOW = 9

/**
 * How many steps keep every stage busy. While a step is on links no stage works on it; with S stages that take time t
 * each and links that take L around the ring, S + L / t steps are under way when none of them waits. On a local
 * network that is S. As more steps share the sessions t falls, so the answer settles within some rounds; it goes in
 * coarse multiples of S, so that shapes of steps repeat.
 *
 * Probes overtake computing, so the quickest of the last ones tells L.
 */
export class StepsInFlight {
  readonly #aroundMs: number[] = []
  readonly #engineUs: number[] = []
  #count: number

  /** @param least - of steps in flight, whatever is measured */
  constructor(
    private readonly stages: number,
    private readonly least: number,
  ) {
    this.#count = least
  }

  get count(): number {
    return this.#count
  }

  /** A probe went around. */
  probed(tripMs: number): void {
    push(this.#aroundMs, tripMs)
    this.#choose()
  }

  /** A step without prompt tokens came back. @param engineUs - what the engines of all stages spent on it */
  stepped(engineUs: number): void {
    push(this.#engineUs, engineUs)
    this.#choose()
  }

  #choose(): void {
    if (this.stages === 1 || this.#aroundMs.length === 0 || this.#engineUs.length < WINDOW) return
    const linksUs = 1000 * Math.min(...this.#aroundMs)
    const engineUs = this.#engineUs.toSorted((a, b) => a - b)[WINDOW >> 1]!
    const onLinks = linksUs / (engineUs / this.stages + STAGE_OVERHEAD_US)
    const perStage = Math.min(MOST_PER_STAGE, roundBudget(1 + onLinks / this.stages))
    this.#count = Math.max(this.least, perStage * this.stages)
  }
}

function push(values: number[], value: number): void {
  values.push(value)
  if (values.length > WINDOW) values.shift()
}
