import { TrainingRequestError } from '../errors.ts'
import { distinctPairs, SailorLinks } from './links.ts'
import { checkSailorPlan, type SailorPlan, type SailorStage } from './plan.ts'
import { rentPerS, trafficUsd } from './price.ts'
import type { SailorTables } from './tables.ts'

export interface SailorVerdict {
  readonly iterationS: number
  readonly pipelineS: number
  readonly gradientS: number
  readonly usd: number
  readonly accelerators: number
  readonly fits: boolean
  readonly stages: readonly {
    readonly computeS: number
    readonly sendS: number
    readonly memoryBytes: number
  }[]
}

const floatBytes = 4
/** Bytes for each parameter: fp32 model, two Adam moments, gradient, communication buffer, DeepSpeed's second copy. */
const bytesPerParameter = 24
/** What Megatron takes besides, more with tensor parallelism. */
const megatronBytes = (tensorParallel: number) => (tensorParallel === 1 ? 2e9 : 3e9)

/**
 * Sailor's cost model: all microbatches at the pace of the slowest stage, one microbatch through all stages, the
 * slowest stage's gradient exchange, and the optimiser's step.
 *
 * @see Strati et al. 2025 (arXiv:2504.17096); formulas as in github.com/eth-easl/sailor, commit cf2c8e3, MIT licence
 */
export class SailorJudge {
  readonly #links: SailorLinks

  constructor(
    readonly tables: SailorTables,
    readonly globalBatch: number,
  ) {
    this.#links = new SailorLinks(tables)
  }

  /** @throws TrainingRequestError if layers overlap, or nothing was profiled for what the plan does */
  verdict(plan: SailorPlan): SailorVerdict {
    checkSailorPlan(this.tables, plan)
    const { stages, microbatch } = plan
    const microbatches = Math.ceil(this.globalBatch / (microbatch * stages[0]!.replicas.length))
    const computeS = stages.map((stage) => this.#slowest(stage, microbatch))
    const sendS = this.#sends(plan)
    const updateS = Math.max(...stages.map((stage) => this.#update(stage, microbatch)))
    const paceS = Math.max(...computeS.map((compute, stage) => compute + sendS[stage]!))
    const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
    const pipelineS = (microbatches - 1) * paceS + sum(computeS) + sum(sendS) + updateS
    const gradientS = Math.max(...stages.map((stage) => this.#links.gradientsS(stage)))
    const iterationS = pipelineS + gradientS
    const memory = stages.map((stage, at) => this.#memory(stage, stages.length - at, microbatch))
    return {
      iterationS,
      pipelineS,
      gradientS,
      usd: rentPerS(this.tables, plan) * iterationS + trafficUsd(this.tables, plan, microbatches),
      accelerators: sum(stages.flatMap(({ replicas }) => replicas.map((each) => each.tensorParallel))),
      fits: memory.every(({ fits }) => fits),
      stages: stages.map((_, at) => ({
        computeS: computeS[at]!,
        sendS: sendS[at]!,
        memoryBytes: memory[at]!.bytes,
      })),
    }
  }

  /** @param behind - stages from this one to the last: as many microbatches are kept */
  memoryBytes(
    first: number,
    end: number,
    behind: number,
    microbatch: number,
    tensorParallel: number,
  ): number {
    const sizes = this.tables.sizes.get(tensorParallel)
    if (sizes === undefined)
      throw new TrainingRequestError('tensorParallel', tensorParallel, 'a measured degree')
    const parameters = sizes.parameters[end]! - sizes.parameters[first]!
    const activations = sizes.activations[end]! - sizes.activations[first]!
    const kept = activations * microbatch * floatBytes * behind
    return parameters * bytesPerParameter + kept + megatronBytes(tensorParallel)
  }

  /** Seconds of one microbatch forward and backward; `null` if that was not profiled. */
  passesS(
    first: number,
    end: number,
    accelerator: string,
    microbatch: number,
    tensorParallel: number,
  ): number | null {
    const times = this.tables.times.get(accelerator)?.get(microbatch)?.get(tensorParallel)
    return times === undefined ? null : times.passesS[end]! - times.passesS[first]!
  }

  #slowest({ first, end, replicas }: SailorStage, microbatch: number): number {
    let slowest = 0
    for (const { accelerator, tensorParallel } of new Set(replicas)) {
      slowest = Math.max(slowest, this.passesS(first, end, accelerator, microbatch, tensorParallel)!)
    }
    return slowest
  }

  #update({ first, replicas }: SailorStage, microbatch: number): number {
    let slowest = 0
    for (const { accelerator, tensorParallel } of new Set(replicas)) {
      const times = this.tables.times.get(accelerator)!.get(microbatch)!.get(tensorParallel)!
      slowest = Math.max(slowest, times.updateS[first]!)
    }
    return slowest
  }

  /** Seconds each stage sends for one microbatch; stages at the ends are counted as the authors do. */
  #sends({ stages, microbatch }: SailorPlan): readonly number[] {
    const last = stages.length - 1
    const between = (from: number, to: number, layer: number) => {
      const bytes = this.#links.handedOverBytes(layer, microbatch)
      let worst = 0
      for (const [sender, receiver] of distinctPairs(stages[from]!.replicas, stages[to]!.replicas)) {
        worst = Math.max(worst, this.#links.sendS(sender, receiver, bytes))
      }
      return worst
    }
    return stages.map(({ first, end }, at) => {
      const forward = at < last ? between(at, at + 1, end - 1) : 0
      const backward = at > 0 ? between(at, at - 1, first) : 0
      if (at > 0 && at < last) return forward + backward
      if (at === last) return 2 * backward
      return stages.length <= 3 ? forward : 2 * forward
    })
  }

  #memory(stage: SailorStage, behind: number, microbatch: number): { bytes: number; fits: boolean } {
    let most = 0
    let fits = true
    for (const { accelerator, tensorParallel } of new Set(stage.replicas)) {
      const bytes = this.memoryBytes(stage.first, stage.end, behind, microbatch, tensorParallel)
      most = Math.max(most, bytes)
      fits &&= bytes <= this.tables.memoryBytes(accelerator)
    }
    return { bytes: most, fits }
  }
}
