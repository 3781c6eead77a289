/** What stages compute and hand over, for one microbatch. */
export interface LockstepPipeline {
  readonly microbatches: number
  readonly stages: readonly { readonly forwardS: number; readonly backwardS: number }[]
  /** From stage i to i + 1, and as long back. */
  readonly hopS: readonly number[]
}

/** Sending and receiving name the hop: stage i to i + 1 is hop i. */
type Instruction =
  | { readonly kind: 'compute'; readonly seconds: number }
  | { readonly kind: 'down' | 'up'; readonly hop: number }

/**
 * Seconds of one step of 1F1B as DeepSpeed's pipeline engine runs it: stages take forward and backward passes in
 * alternate turns, and each message holds up both its sender and its receiver until it is through, whoever comes first.
 * Neighbours are in opposite passes, so that the longer of the two sets the pace of both.
 *
 * @see deepspeed.runtime.pipe.schedule.TrainSchedule (github.com/deepspeedai/DeepSpeed)
 */
export function lockstepS(pipeline: LockstepPipeline): number {
  const { stages, hopS } = pipeline
  const programs = stages.map((_, stage) => instructionsOf(pipeline, stage))
  const at = stages.map(() => 0)
  const nowS = stages.map(() => 0)
  const waits = (stage: number, kind: 'down' | 'up', hop: number) => {
    const next = programs[stage]?.[at[stage]!]
    return next !== undefined && next.kind === kind && next.hop === hop
  }
  const advance = (stage: number): boolean => {
    const next = programs[stage]![at[stage]!]
    if (next === undefined) return false
    if (next.kind === 'compute') {
      nowS[stage] = nowS[stage]! + next.seconds
      at[stage] = at[stage]! + 1
      return true
    }
    const [above, below] = [next.hop, next.hop + 1]
    if (!waits(above, next.kind, next.hop) || !waits(below, next.kind, next.hop)) return false
    const throughS = Math.max(nowS[above]!, nowS[below]!) + hopS[next.hop]!
    for (const each of [above, below]) {
      nowS[each] = throughS
      at[each] = at[each]! + 1
    }
    return true
  }
  for (let moved = true; moved; ) {
    moved = false
    for (const [stage] of stages.entries()) while (advance(stage)) moved = true
  }
  if (at.some((done, stage) => done < programs[stage]!.length))
    throw new Error('The stages wait for each other.')
  return Math.max(...nowS)
}

function instructionsOf({ microbatches, stages }: LockstepPipeline, stage: number): readonly Instruction[] {
  const count = stages.length
  const { forwardS, backwardS } = stages[stage]!
  const valid = (microbatch: number) => microbatch >= 0 && microbatch < microbatches
  const program: Instruction[] = []
  let before = -1
  for (let turn = 0; turn < 2 * (microbatches + count - 1); turn += 1) {
    const forward = turn % 2 === stage % 2
    const microbatch = forward
      ? (turn - stage) / 2
      : Math.floor(turn / 2) - count + 1 + Math.floor((stage - (turn % 2 === 0 ? 1 : 0)) / 2)
    if (forward) {
      if (stage > 0 && valid(microbatch)) program.push({ kind: 'down', hop: stage - 1 })
      if (stage > 0 && valid(before)) program.push({ kind: 'up', hop: stage - 1 })
    } else {
      if (stage < count - 1 && valid(before)) program.push({ kind: 'down', hop: stage })
      if (stage < count - 1 && valid(microbatch)) program.push({ kind: 'up', hop: stage })
    }
    if (valid(microbatch)) program.push({ kind: 'compute', seconds: forward ? forwardS : backwardS })
    before = microbatch
  }
  return program
}
