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
  /** When the request came, and its prompt was done. */
  readonly cameMs: number
  promptedMs: number
  /** When the prompt or step left the source, and the last machine. */
  beganMs: number
  sentMs: number
  /** Decode steps that count so far, and how long they took. */
  counted: number
  countedMs: number
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
  /** Of chunked prompts: tokens computed so far, and tokens for which requests were let in. */
  private readonly begun = new Map<number, number>()
  private admittedTokens = 0
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
    if (this.batching === 'chunked') return this.startChunked()
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

  private startChunked(): number {
    const { limits, times, inputMsPerToken } = this.machine
    const batch: Flight[] = []
    const left = this.spare
    for (const flight of this.waiting) {
      if (flight.steps < 0) continue
      if (batch.length < limits.decodeRequests) batch.push(flight)
      else left.push(flight)
    }
    const steps = batch.length
    let tokensLeft = Math.max(1, limits.promptTokens - steps)
    let promptMs = 0
    let computed = 0
    let turnsAway = false
    for (const flight of this.waiting) {
      if (flight.steps >= 0) continue
      const done = this.begun.get(flight.id)
      turnsAway ||= tokensLeft === 0 || (done === undefined && !this.letsIn(flight))
      if (turnsAway) {
        left.push(flight)
        continue
      }
      const end = Math.min(flight.promptTokens, (done ?? 0) + tokensLeft)
      promptMs += this.layerCount * (times.ofPrompt(end) - (done === undefined ? 0 : times.ofPrompt(done)))
      tokensLeft -= end - (done ?? 0)
      computed += end - (done ?? 0)
      this.begun.set(flight.id, end)
      if (end === flight.promptTokens) batch.push(flight)
      else left.push(flight)
    }
    if (steps === 0 && computed === 0) {
      left.length = 0
      return 0
    }
    this.spare = this.waiting
    this.spare.length = 0
    this.waiting = left
    this.batch = batch
    this.kvTokens += computed + steps
    if (this.kvTokens > this.kvPeak) this.kvPeak = this.kvTokens
    const stepsMs = this.passMs(0, steps)
    // Both read the weights, which takes as long as one token's prompt; together they read them once.
    const sharedMs = Math.min(this.layerCount * times.ofPrompt(1), promptMs, stepsMs)
    const ms = promptMs + stepsMs - sharedMs + this.arrivedTokens * inputMsPerToken
    this.arrivedTokens = 0
    this.busyMs += ms
    return ms
  }

  /** Whether the whole of a request has room; a lone one always begins. */
  private letsIn(flight: Flight): boolean {
    if (this.admittedTokens > 0 && !this.hasRoomFor(flight)) return false
    this.admittedTokens += flight.promptTokens + flight.outputTokens
    return true
  }

  /** Whether all of a request has room beside what is held. */
  hasRoomFor({ promptTokens, outputTokens, steps }: Flight): boolean {
    const held = this.batching === 'chunked' ? this.admittedTokens : this.kvTokens
    const own = promptTokens + (this.batching === 'chunked' ? outputTokens : steps)
    return held + own <= this.machine.kvTokens
  }

  /** Holds K and V of a request that is in the middle of its answer. */
  takeUp({ id, promptTokens, outputTokens, steps }: Flight): void {
    this.kvTokens += promptTokens + steps
    if (this.batching !== 'chunked') return
    this.begun.set(id, promptTokens)
    this.admittedTokens += promptTokens + outputTokens
  }

  /** What a prompt takes by itself. */
  promptMs(tokens: number): number {
    return this.layerCount * this.machine.times.ofPrompt(tokens)
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
    this.begun.clear()
    this.admittedTokens = 0
  }

  /** Forgets a request that is gone, wherever it stands; `at` is the machine's place in its path. */
  drop(flight: Flight, at: number): void {
    const { hop, steps, promptTokens } = flight
    const started = this.batch?.includes(flight) === true || this.second.includes(flight)
    this.waiting = this.waiting.filter((each) => each !== flight)
    this.second = this.second.filter((each) => each !== flight)
    const computed = at < hop || (at === hop && started)
    const begun = this.begun.get(flight.id)
    if (this.begun.delete(flight.id)) this.admittedTokens -= promptTokens + flight.outputTokens
    if (steps < 0) this.kvTokens -= begun ?? (computed ? promptTokens : 0)
    else this.kvTokens -= promptTokens + steps + (computed ? 1 : 0)
  }

  release(flight: Flight): void {
    // A prompt that is handed over has had no steps here.
    this.kvTokens -= flight.promptTokens + Math.max(0, flight.steps)
    if (this.begun.delete(flight.id)) this.admittedTokens -= flight.promptTokens + flight.outputTokens
  }
}
