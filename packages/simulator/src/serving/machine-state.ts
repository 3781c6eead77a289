import type { Batching, StageMachine } from './serving-fleet.ts'

/** A request in flight. */
export interface Flight {
  readonly id: number
  readonly promptTokens: number
  readonly outputTokens: number
  /** Goes on after a machine was lost: its prompt holds tokens of the answer, and gives the next one. */
  readonly resumed: boolean
  /** It was on a lost machine, and another goes on for it. */
  gone: boolean
  readonly path: number[]
  /** Of the path: where it is or is going to; the path's length at the sink. */
  hop: number
  /** Decode steps done; -1 during the prompt. */
  steps: number
  /** When the prompt or step left the source, and the last machine. */
  beganMs: number
  sentMs: number
}

const none: readonly Flight[] = []

/** One machine: what waits, what it computes, what its cache holds. It computes one batch at a time, all layers of it. */
export class MachineState {
  /** Tokens in each layer's cache. */
  kvTokens = 0
  kvPeak = 0
  busyMs = 0
  batch: Flight[] | null = null
  /** Waits for sequences that come back from the batch before. */
  gathering = false
  isLost = false
  /** Of the batch being computed. */
  endsAtMs = Number.NaN
  private waiting: Flight[] = []
  private spare: Flight[] = []
  /** Decode steps that follow the prompts being computed. */
  private second: readonly Flight[] = none
  private arrivedTokens = 0
  private readonly layerCount: number

  constructor(
    readonly machine: StageMachine,
    private readonly batching: Batching,
  ) {
    this.layerCount = machine.layers.end - machine.layers.first
  }

  get isIdle(): boolean {
    return this.batch === null && !this.gathering
  }

  arrive(flight: Flight): void {
    this.waiting.push(flight)
    this.arrivedTokens += flight.steps < 0 ? flight.promptTokens : 1
  }

  /**
   * Takes what fits one batch, first come first served, past what does not fit.
   *
   * @returns how long it computes, in ms; 0 if nothing waits that fits
   */
  start(): number {
    const { limits, inputMsPerToken, kvTokens } = this.machine
    if (this.second.length > 0) return this.startSecond()
    if (this.waiting.length === 0) return 0
    const batch: Flight[] = []
    const left = this.spare
    let prompts = 0
    let promptTokens = 0
    let context = 0
    for (const flight of this.waiting) {
      if (flight.steps < 0) {
        const tokens = promptTokens + flight.promptTokens
        const alone = this.kvTokens === 0 && prompts === 0
        const fits = alone || this.kvTokens + tokens <= kvTokens
        if (fits && prompts < limits.promptRequests && tokens <= limits.promptTokens) {
          batch.push(flight)
          prompts += 1
          promptTokens = tokens
        } else left.push(flight)
      } else {
        const cached = flight.promptTokens + flight.steps
        if (batch.length - prompts < limits.decodeRequests && context + cached <= limits.decodeContext) {
          batch.push(flight)
          context += cached
        } else left.push(flight)
      }
    }
    if (batch.length === 0) {
      left.length = 0
      return 0
    }
    this.spare = this.waiting
    this.spare.length = 0
    this.waiting = left
    const decodes = batch.length - prompts
    const apart = this.batching === 'promptsFirst' && prompts > 0
    if (apart) this.second = batch.filter((flight) => flight.steps >= 0)
    this.batch = apart ? batch.filter((flight) => flight.steps < 0) : batch
    this.kvTokens += promptTokens + decodes
    if (this.kvTokens > this.kvPeak) this.kvPeak = this.kvTokens
    const ms = this.passMs(promptTokens, apart ? 0 : decodes) + this.arrivedTokens * inputMsPerToken
    this.arrivedTokens = 0
    this.busyMs += ms
    return ms
  }

  private startSecond(): number {
    this.batch = [...this.second]
    this.second = none
    const ms = this.passMs(0, this.batch.length)
    this.busyMs += ms
    return ms
  }

  private passMs(promptTokens: number, steps: number): number {
    const { times, overheads } = this.machine
    const host =
      overheads === undefined ? 0 : overheads.passMs + this.layerCount * steps * overheads.stepLayerMs
    return this.layerCount * (times.ofPrompt(promptTokens) + times.ofDecode(steps)) + host
  }

  /** Everything in it is lost, and nothing can be computed until it is back. */
  lose(): void {
    this.isLost = true
    this.batch = null
    this.gathering = false
    this.waiting = []
    this.second = none
    this.arrivedTokens = 0
    this.kvTokens = 0
  }

  /** Forgets a request that is gone, wherever it stands; `at` is the machine's place in its path. */
  drop(flight: Flight, at: number): void {
    const { hop, steps, promptTokens } = flight
    const started = this.batch?.includes(flight) === true || this.second.includes(flight)
    this.waiting = this.waiting.filter((each) => each !== flight)
    this.second = this.second.filter((each) => each !== flight)
    const computed = at < hop || (at === hop && started)
    if (steps < 0) this.kvTokens -= computed ? promptTokens : 0
    else this.kvTokens -= promptTokens + steps + (computed ? 1 : 0)
  }

  release(flight: Flight): void {
    this.kvTokens -= flight.promptTokens + flight.steps
  }
}
