import { transferS } from '../network.ts'
import { BottleneckMatching } from './matching.ts'
import { OpenPath } from './open-path.ts'
import type { DtFmTask } from './task.ts'

/** Seconds of one training step that are spent sending. */
export interface DtFmCost {
  readonly gradientS: number
  readonly pipelineS: number
  readonly totalS: number
}

/**
 * DT-FM's cost model: gradients are exchanged inside the slowest group, in shards with every other member, there and
 * back; activations and their gradients go along the shortest path through all groups, where going from one group to the
 * next takes as long as the worst pair of the best pairing.
 *
 * @see Yuan et al. 2022 (arXiv:2206.01288), section 3
 */
export class DtFmEvaluator {
  /** The times that sending a stage's activations takes, in order, and which of them it is between two devices. */
  readonly #levelsS: Float64Array
  readonly #level: Int32Array
  readonly #shardS: Float64Array
  readonly #matching: BottleneckMatching
  readonly #path: OpenPath
  readonly #pairCosts: Int32Array

  constructor(readonly task: DtFmTask) {
    const { network, stages, replicas, gradientBytes, activationBytes } = task
    const { devices } = network
    const activationS = new Float64Array(devices * devices)
    this.#shardS = new Float64Array(devices * devices)
    for (let from = 0; from < devices; from += 1) {
      for (let to = 0; to < devices; to += 1) {
        if (from === to) continue
        activationS[from * devices + to] = transferS(network, from, to, activationBytes)
        this.#shardS[from * devices + to] = 2 * transferS(network, from, to, gradientBytes / replicas)
      }
    }
    this.#levelsS = Float64Array.from(new Set(activationS)).sort()
    const levelOf = new Map([...this.#levelsS].map((timeS, level) => [timeS, level]))
    this.#level = Int32Array.from(activationS, (timeS) => levelOf.get(timeS)!)
    this.#matching = new BottleneckMatching(replicas)
    this.#path = new OpenPath(stages)
    this.#pairCosts = new Int32Array(replicas * replicas)
  }

  /** Cost of an assignment: devices in order of groups. */
  cost(order: Int32Array): DtFmCost {
    const { stages } = this.task
    const between = new Float64Array(stages * stages)
    let gradientS = 0
    for (let group = 0; group < stages; group += 1) {
      gradientS = Math.max(gradientS, this.gradientS(order, group))
      for (let other = group + 1; other < stages; other += 1) this.setBetween(between, order, group, other)
    }
    const pipelineS = this.pipelineS(between)
    return { gradientS, pipelineS, totalS: gradientS + pipelineS }
  }

  /** The slowest member's exchange. */
  gradientS(order: Int32Array, group: number): number {
    const { replicas, network } = this.task
    const first = group * replicas
    let worst = 0
    for (let i = first; i < first + replicas; i += 1) {
      const row = order[i]! * network.devices
      let sum = 0
      for (let j = first; j < first + replicas; j += 1) sum += this.#shardS[row + order[j]!]!
      if (sum > worst) worst = sum
    }
    return worst
  }

  setBetween(between: Float64Array, order: Int32Array, group: number, other: number): void {
    const cost = this.#levelsS[this.#matching.solve(this.#costsBetween(order, group, other))]!
    between[group * this.task.stages + other] = cost
    between[other * this.task.stages + group] = cost
  }

  /** Along the path and back. */
  pipelineS(between: Float64Array): number {
    return 2 * this.#path.length(between)
  }

  /** Pipelines: for each stage along the path, the device of each replica. */
  pipelines(order: Int32Array): readonly (readonly number[])[] {
    const { stages, replicas } = this.task
    const between = new Float64Array(stages * stages)
    for (let group = 0; group < stages; group += 1) {
      for (let other = group + 1; other < stages; other += 1) this.setBetween(between, order, group, other)
    }
    const path = this.#path.path(between)
    const places = [Array.from({ length: replicas }, (_, place) => place)]
    for (let stage = 1; stage < stages; stage += 1) {
      const [from, to] = [path[stage - 1]!, path[stage]!]
      const costs = this.#costsBetween(order, from, to)
      const partners = this.#matching.pairs(costs, this.#matching.solve(costs))
      const before = places[stage - 1]!
      places.push(before.map((place) => partners.indexOf(place)))
    }
    return places.map((row, stage) => row.map((place) => order[path[stage]! * replicas + place]!))
  }

  #costsBetween(order: Int32Array, group: number, other: number): Int32Array {
    const { replicas, network } = this.task
    for (let i = 0; i < replicas; i += 1) {
      const row = order[group * replicas + i]! * network.devices
      for (let j = 0; j < replicas; j += 1) {
        this.#pairCosts[i * replicas + j] = this.#level[row + order[other * replicas + j]!]!
      }
    }
    return this.#pairCosts
  }
}
