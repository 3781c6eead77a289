import { TrainingRequestError } from '../errors.ts'
import type { BandwidthFit, Endpoint, SailorTables } from './tables.ts'

/** One replica of a stage: a tensor-parallel group in one machine. */
export interface SailorReplica {
  readonly accelerator: string
  readonly zone: string
  readonly tensorParallel: number
}

export interface SailorStage {
  /** Half-open. */
  readonly first: number
  readonly end: number
  /** In order; neighbours exchange gradients, equal places hand over activations. */
  readonly replicas: readonly SailorReplica[]
}

export interface SailorPlan {
  readonly microbatch: number
  readonly stages: readonly SailorStage[]
}

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
const bucketBytes = 500_000_000
const mostShards = 4

/**
 * Sailor's cost model: all microbatches at the pace of the slowest stage, one microbatch through all stages, the
 * slowest stage's gradient exchange, and the optimiser's step.
 *
 * @see Strati et al. 2025 (arXiv:2504.17096); formulas as in github.com/eth-easl/sailor, commit cf2c8e3, MIT licence
 */
export class SailorJudge {
  readonly #fits = new Map<string, BandwidthFit>()

  constructor(
    readonly tables: SailorTables,
    readonly globalBatch: number,
  ) {}

  /** @throws TrainingRequestError if layers overlap, or nothing was profiled for what the plan does */
  verdict(plan: SailorPlan): SailorVerdict {
    this.#check(plan)
    const { stages, microbatch } = plan
    const microbatches = Math.ceil(this.globalBatch / (microbatch * stages[0]!.replicas.length))
    const computeS = stages.map((stage) => this.#slowest(stage, microbatch))
    const sendS = this.#sends(plan)
    const updateS = Math.max(...stages.map((stage) => this.#update(stage, microbatch)))
    const paceS = Math.max(...computeS.map((compute, stage) => compute + sendS[stage]!))
    const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
    const pipelineS = (microbatches - 1) * paceS + sum(computeS) + sum(sendS) + updateS
    const gradientS = Math.max(...stages.map((stage) => this.#gradients(stage)))
    const iterationS = pipelineS + gradientS
    const memory = stages.map((stage, at) => this.#memory(stage, stages.length - at, microbatch))
    return {
      iterationS,
      pipelineS,
      gradientS,
      usd: this.#rent(plan) * iterationS + this.#traffic(plan, microbatches),
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

  #check({ stages, microbatch }: SailorPlan): void {
    let next = 0
    for (const { first, end, replicas } of stages) {
      if (first !== next || end <= first) {
        throw new TrainingRequestError('stages', `[${first}, ${end}) behind ${next}`, 'one behind the other')
      }
      next = end
      for (const { accelerator, tensorParallel } of new Set(replicas)) {
        if (this.passesS(first, end, accelerator, microbatch, tensorParallel) === null) {
          const what = `${accelerator}, microbatch ${microbatch}, ${tensorParallel}-way`
          throw new TrainingRequestError('replicas', what, 'what was profiled')
        }
      }
    }
    if (stages.length === 0 || next > this.tables.layers) {
      throw new TrainingRequestError('stages', `${next} layers`, `1 to ${this.tables.layers} layers`)
    }
    const degrees = new Set(stages.map(({ replicas }) => replicas.length))
    if (degrees.size > 1 || degrees.has(0)) {
      throw new TrainingRequestError('replicas', [...degrees].join(', '), 'equally many in every stage')
    }
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
      const bytes = this.tables.outputElements[layer]! * floatBytes * microbatch
      let worst = 0
      for (const [sender, receiver] of distinctPairs(stages[from]!.replicas, stages[to]!.replicas)) {
        worst = Math.max(worst, seconds(bytes, this.#fit(sender, receiver)))
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

  #gradients({ first, end, replicas }: SailorStage): number {
    const parameters = this.tables.sizes.get(1)!.parameters
    const shards = Math.min(mostShards, ...replicas.map(({ tensorParallel }) => tensorParallel))
    const bytes = ((parameters[end]! - parameters[first]!) * floatBytes) / shards
    let worst = 0
    for (const [from, to] of distinctPairs(replicas.slice(0, -1), replicas.slice(1))) {
      worst = Math.max(worst, allReduceS(bytes, replicas.length, this.#fit(from, to, 1)))
    }
    return worst
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

  /** USD a second. */
  #rent({ stages }: SailorPlan): number {
    let perHour = 0
    for (const { replicas } of stages) {
      for (const { accelerator, tensorParallel } of replicas) {
        perHour += tensorParallel * this.tables.usdPerHour(accelerator)
      }
    }
    return perHour / 3600
  }

  #traffic({ stages, microbatch }: SailorPlan, microbatches: number): number {
    const { outputElements, usdPerByte, sizes } = this.tables
    const parameters = sizes.get(1)!.parameters
    let usd = 0
    stages.forEach(({ first, end, replicas }, at) => {
      const next = stages[at + 1]
      const handedOver = outputElements[end - 1]! * floatBytes * microbatch * microbatches * 2
      const exchanged =
        ((parameters[end]! - parameters[first]!) * floatBytes * 2 * (replicas.length - 1)) / replicas.length
      replicas.forEach(({ zone }, place) => {
        if (next !== undefined) usd += handedOver * usdPerByte(zone, next.replicas[place]!.zone)
        usd += exchanged * usdPerByte(zone, replicas[(place + 1) % replicas.length]!.zone)
      })
    })
    return usd
  }

  #fit(from: SailorReplica, to: SailorReplica, count?: number): BandwidthFit {
    const sender: Endpoint = { ...from, count: count ?? from.tensorParallel }
    const receiver: Endpoint = { ...to, count: count ?? to.tensorParallel }
    const key = `${sender.zone} ${sender.accelerator} ${sender.count} ${receiver.zone} ${receiver.accelerator} ${receiver.count}`
    const known = this.#fits.get(key)
    if (known !== undefined) return known
    const fit = this.tables.fit(sender, receiver)
    this.#fits.set(key, fit)
    return fit
  }
}

/** Pairs at equal places, those that are like the pair before left out. */
function* distinctPairs(
  left: readonly SailorReplica[],
  right: readonly SailorReplica[],
): Generator<readonly [SailorReplica, SailorReplica]> {
  for (const [place, from] of left.entries()) {
    const to = right[place]!
    if (place === 0 || from !== left[place - 1] || to !== right[place - 1]) yield [from, to]
  }
}

function seconds(bytes: number, [a, b, c]: BandwidthFit): number {
  if (bytes === 0) return 0
  const x = Math.log2(bytes / 1e6)
  return bytes / 1e9 / (a * x * x + b * x + c)
}

/** Ring all-reduce, in DeepSpeed's buckets. */
function allReduceS(bytes: number, members: number, fit: BandwidthFit): number {
  if (members <= 1) return 0
  const ring = (bucket: number) => 2 * (members - 1) * seconds(bucket / members, fit)
  const full = Math.floor(bytes / bucketBytes)
  const rest = bytes - full * bucketBytes
  return full * ring(bucketBytes) + (rest > 0 ? ring(rest) : 0)
}
