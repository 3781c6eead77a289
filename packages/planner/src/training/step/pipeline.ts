import { EventQueue } from './event-queue.ts'

/** When which microbatch is worked on; `1f1b` keeps as few microbatches as `inFlight` allows. */
export type Schedule = 'gpipe' | '1f1b' | 'zero bubble'

/** One pipeline: what each stage computes and each hop carries, for one microbatch. */
export interface Pipeline {
  readonly microbatches: number
  readonly schedule: Schedule
  /** Whether a stage computes on while it sends. */
  readonly overlap: boolean
  readonly stages: readonly {
    readonly forwardS: number
    /** Of inputs and weights together, and what is computed anew. */
    readonly backwardS: number
    /** Part of `backwardS` that nobody waits for. */
    readonly weightGradientS: number
    /** Microbatches it may keep between forward pass and the end of their backward pass, weight gradients included. */
    readonly inFlight: number
    /** Stages with the same number share a device, which works on one of them at a time; without one, each has its own. */
    readonly device?: number
  }[]
  /** From stage i to i + 1 and back: the time the link is taken, and the delay behind it. */
  readonly hops: readonly { readonly sendS: number; readonly delayS: number }[]
}

export interface PipelineRun {
  /** When each stage begins its first forward pass. */
  readonly startS: readonly number[]
  /** When each stage has computed everything. */
  readonly finishS: readonly number[]
  /** Seconds at the end in which only weight gradients are left to compute. */
  readonly tailS: readonly number[]
  readonly busyS: readonly number[]
}

/** A device at work. */
export interface WorkSpan {
  readonly stage: number
  readonly work: 'forward' | 'backward' | 'weights'
  readonly fromS: number
  readonly toS: number
}

const [forwardArrived, backwardArrived, stageFree] = [0, 1, 2]
const kinds = 3

/** Plays one step: each stage takes the backward pass that waits longest, else a forward pass, else weight gradients. */
export function runPipeline(pipeline: Pipeline, record?: (span: WorkSpan) => void): PipelineRun {
  return new Run(pipeline, record).finish()
}

class Run {
  readonly #queue = new EventQueue()
  readonly #forwards: number[]
  readonly #backwards: number[]
  readonly #forwarded: number[]
  readonly #completed: number[]
  readonly #weightWork: number[]
  readonly #busy: boolean[]
  readonly #busyS: number[]
  readonly #finishS: number[]
  readonly #startS: number[]
  readonly #backwardS: number[]
  readonly #downFreeS: number[]
  readonly #upFreeS: number[]
  readonly #deviceOf: readonly number[]
  /** Stages of each device, the last first. */
  readonly #stagesOf: readonly (readonly number[])[]

  constructor(
    private readonly pipeline: Pipeline,
    private readonly record: (span: WorkSpan) => void = () => undefined,
  ) {
    const zeros = () => pipeline.stages.map(() => 0)
    this.#forwards = zeros()
    this.#backwards = zeros()
    this.#forwarded = zeros()
    this.#completed = zeros()
    this.#weightWork = zeros()
    this.#busyS = zeros()
    this.#finishS = zeros()
    this.#startS = zeros()
    this.#backwardS = zeros()
    this.#downFreeS = zeros()
    this.#upFreeS = zeros()
    this.#busy = pipeline.stages.map(() => false)
    this.#deviceOf = pipeline.stages.map(({ device }, stage) => device ?? stage)
    this.#stagesOf = pipeline.stages.map((_, device) =>
      this.#deviceOf.flatMap((own, stage) => (own === device ? [stage] : [])).reverse(),
    )
    this.#forwards[0] = pipeline.microbatches
  }

  finish(): PipelineRun {
    this.#start(0, 0)
    while (this.#queue.size > 0) {
      const timeS = this.#queue.nextS
      const event = this.#queue.pop()
      const stage = Math.floor(event / kinds)
      const kind = event % kinds
      if (kind === forwardArrived) this.#forwards[stage] = this.#forwards[stage]! + 1
      else if (kind === backwardArrived) this.#backwards[stage] = this.#backwards[stage]! + 1
      else this.#busy[this.#deviceOf[stage]!] = false
      const device = this.#deviceOf[stage]!
      if (!this.#busy[device]) this.#startAny(this.#stagesOf[device]!, timeS)
    }
    return {
      startS: this.#startS,
      finishS: this.#finishS,
      tailS: this.#finishS.map((finish, stage) => finish - this.#backwardS[stage]!),
      busyS: this.#busyS,
    }
  }

  /** What is deepest in the pipeline goes first: others wait for it. */
  #startAny(stages: readonly number[], nowS: number): void {
    const [only] = stages
    if (stages.length === 1) {
      this.#start(only!, nowS)
      return
    }
    const device = this.#deviceOf[only!]!
    for (const kind of ['backward', 'forward', 'weights'] as const) {
      for (const stage of stages) {
        this.#start(stage, nowS, kind)
        if (this.#busy[device]) return
      }
    }
  }

  #start(stage: number, nowS: number, only: WorkSpan['work'] | null = null): void {
    const { schedule, microbatches, stages } = this.pipeline
    const may = (work: WorkSpan['work']) => only === null || only === work
    const inFlight = this.#forwarded[stage]! - this.#completed[stage]!
    const mayForward = this.#forwards[stage]! > 0 && inFlight < stages[stage]!.inFlight
    const forwardsFirst = schedule === 'gpipe' && this.#forwarded[stage]! < microbatches
    if (may('backward') && this.#backwards[stage]! > 0 && !forwardsFirst) this.#backward(stage, nowS)
    else if (may('forward') && mayForward) this.#forward(stage, nowS)
    else if (may('weights') && this.#weightWork[stage]! > 0) {
      this.#weightWork[stage] = this.#weightWork[stage]! - 1
      this.#completed[stage] = this.#completed[stage]! + 1
      this.#compute(stage, nowS, stages[stage]!.weightGradientS, 'weights')
    }
  }

  #forward(stage: number, nowS: number): void {
    const { stages, hops } = this.pipeline
    this.#forwards[stage] = this.#forwards[stage]! - 1
    if (this.#forwarded[stage] === 0) this.#startS[stage] = nowS
    this.#forwarded[stage] = this.#forwarded[stage]! + 1
    const doneS = nowS + stages[stage]!.forwardS
    if (stage === stages.length - 1) {
      this.#backwards[stage] = this.#backwards[stage]! + 1
      this.#compute(stage, nowS, stages[stage]!.forwardS, 'forward')
      return
    }
    const { sendS, delayS } = hops[stage]!
    const sentS = Math.max(doneS, this.#downFreeS[stage]!) + sendS
    this.#downFreeS[stage] = sentS
    this.#queue.push(sentS + delayS, (stage + 1) * kinds + forwardArrived)
    this.#compute(stage, nowS, stages[stage]!.forwardS, 'forward', sentS + delayS)
  }

  #backward(stage: number, nowS: number): void {
    const { stages, hops, schedule } = this.pipeline
    const { backwardS, weightGradientS } = stages[stage]!
    const split = schedule === 'zero bubble'
    const workS = split ? backwardS - weightGradientS : backwardS
    this.#backwards[stage] = this.#backwards[stage]! - 1
    if (split) this.#weightWork[stage] = this.#weightWork[stage]! + 1
    else this.#completed[stage] = this.#completed[stage]! + 1
    this.#backwardS[stage] = Math.max(this.#backwardS[stage]!, nowS + workS)
    if (stage === 0) {
      this.#compute(stage, nowS, workS, 'backward')
      return
    }
    const { sendS, delayS } = hops[stage - 1]!
    const sentS = Math.max(nowS + workS, this.#upFreeS[stage]!) + sendS
    this.#upFreeS[stage] = sentS
    this.#queue.push(sentS + delayS, (stage - 1) * kinds + backwardArrived)
    this.#compute(stage, nowS, workS, 'backward', sentS + delayS)
  }

  /** @param deliveredS - when what it sends has arrived; without overlap it waits for that */
  #compute(stage: number, nowS: number, workS: number, work: WorkSpan['work'], deliveredS = 0): void {
    const doneS = nowS + workS
    this.#busy[this.#deviceOf[stage]!] = true
    this.record({ stage, work, fromS: nowS, toS: doneS })
    this.#busyS[stage] = this.#busyS[stage]! + workS
    this.#finishS[stage] = Math.max(this.#finishS[stage]!, doneS)
    this.#queue.push(this.pipeline.overlap ? doneS : Math.max(doneS, deliveredS), stage * kinds + stageFree)
  }
}
