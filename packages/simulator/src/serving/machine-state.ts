import type { StageMachine } from './serving-fleet.ts'

/** A request in flight. */
export interface Flight {
  readonly id: number
  readonly promptTokens: number
  readonly outputTokens: number
  readonly path: number[]
  /** Of the path: where it is or is going to; the path's length at the sink. */
  hop: number
  /** Decode steps done; -1 during the prompt. */
  steps: number
  /** When the prompt or step left the source, and the last machine. */
  beganMs: number
  sentMs: number
}

/** One machine: what waits, what it computes, what its cache holds. It computes one batch at a time, all layers of it. */
export class MachineState {
  /** Tokens in each layer's cache. */
  kvTokens = 0
  kvPeak = 0
  busyMs = 0
  batch: Flight[] | null = null
  /** Waits for sequences that come back from the batch before. */
  gathering = false
  private waiting: Flight[] = []
  private spare: Flight[] = []
  private arrivedTokens = 0
  private readonly layerCount: number

  constructor(readonly machine: StageMachine) {
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
    const { limits, times, inputMsPerToken, kvTokens } = this.machine
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
    this.batch = batch
    const decodes = batch.length - prompts
    this.kvTokens += promptTokens + decodes
    if (this.kvTokens > this.kvPeak) this.kvPeak = this.kvTokens
    const ms =
      this.layerCount * (times.ofPrompt(promptTokens) + times.ofDecode(decodes)) +
      this.arrivedTokens * inputMsPerToken
    this.arrivedTokens = 0
    this.busyMs += ms
    return ms
  }

  release(flight: Flight): void {
    this.kvTokens -= flight.promptTokens + flight.steps
  }
}
