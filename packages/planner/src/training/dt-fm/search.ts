import type { Random } from '@deos/domain'
import { anneal, type Neighbourhood } from '../annealing.ts'
import { type DtFmCost, DtFmEvaluator } from './evaluator.ts'
import { checkTask, type DtFmTask } from './task.ts'

export interface DtFmPlan {
  readonly cost: DtFmCost
  /** For each stage along the pipeline, the device of each replica. */
  readonly pipelines: readonly (readonly number[])[]
}

export interface DtFmSearch {
  /** Exchanges of two devices that are tried, over all restarts. */
  readonly steps: number
  readonly restarts: number
  readonly random: Random
}

/** Our search in DT-FM's cost model: devices change groups in pairs, and only what that touches is counted anew. */
export function searchDtFm(task: DtFmTask, { steps, restarts, random }: DtFmSearch): DtFmPlan {
  const evaluator = new DtFmEvaluator(checkTask(task))
  const identity = Int32Array.from({ length: task.network.devices }, (_, device) => device)
  let best = identity
  let bestCost = evaluator.cost(identity).totalS
  for (let restart = 0; restart < restarts; restart += 1) {
    const state = new Exchanges(evaluator, shuffled(identity, random))
    const record = () => {
      if (state.cost >= bestCost) return
      bestCost = state.cost
      best = state.order.slice()
    }
    const cooling = { steps: Math.ceil(steps / restarts), from: state.cost / 10, to: state.cost / 5000 }
    anneal(state, cooling, random, record)
  }
  return { cost: evaluator.cost(best), pipelines: evaluator.pipelines(best) }
}

export function shuffled(order: Int32Array, random: Random): Int32Array {
  const result = order.slice()
  for (let last = result.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random.next() * (last + 1))
    const kept = result[last]!
    result[last] = result[other]!
    result[other] = kept
  }
  return result
}

class Exchanges implements Neighbourhood {
  cost: number
  readonly #gradients: Float64Array
  readonly #between: Float64Array
  readonly #gradientsBefore: Float64Array
  readonly #betweenBefore: Float64Array
  readonly #kinds: Int32Array
  #first = 0
  #second = 0
  #after = 0

  constructor(
    private readonly evaluator: DtFmEvaluator,
    readonly order: Int32Array,
  ) {
    const { stages } = evaluator.task
    this.#gradients = new Float64Array(stages)
    this.#between = new Float64Array(stages * stages)
    this.#gradientsBefore = new Float64Array(stages)
    this.#betweenBefore = new Float64Array(stages * stages)
    this.#kinds = interchangeable(evaluator.task)
    for (let group = 0; group < stages; group += 1) this.#recount(group)
    this.cost = this.#total()
  }

  step(random: Random): number | null {
    const { replicas, network } = this.evaluator.task
    const first = Math.floor(random.next() * network.devices)
    const second = Math.floor(random.next() * network.devices)
    const [groupA, groupB] = [Math.floor(first / replicas), Math.floor(second / replicas)]
    if (groupA === groupB) return null
    if (this.#kinds[this.order[first]!] === this.#kinds[this.order[second]!]) return null
    this.#gradientsBefore.set(this.#gradients)
    this.#betweenBefore.set(this.#between)
    this.#exchange(first, second)
    this.#recount(groupA)
    this.#recount(groupB)
    this.#first = first
    this.#second = second
    this.#after = this.#total()
    return this.#after
  }

  keep(): void {
    this.cost = this.#after
  }

  revert(): void {
    this.#exchange(this.#first, this.#second)
    this.#gradients.set(this.#gradientsBefore)
    this.#between.set(this.#betweenBefore)
  }

  #exchange(first: number, second: number): void {
    const kept = this.order[first]!
    this.order[first] = this.order[second]!
    this.order[second] = kept
  }

  #recount(group: number): void {
    this.#gradients[group] = this.evaluator.gradientS(this.order, group)
    for (let other = 0; other < this.evaluator.task.stages; other += 1) {
      if (other !== group) this.evaluator.setBetween(this.#between, this.order, group, other)
    }
  }

  #total(): number {
    let gradient = 0
    for (const each of this.#gradients) gradient = Math.max(gradient, each)
    return gradient + this.evaluator.pipelineS(this.#between)
  }
}

/** Devices with the same links to all others, each other included, have the same number. */
function interchangeable({ network }: DtFmTask): Int32Array {
  const { devices, delayS, bytesPerS } = network
  const kinds = new Int32Array(devices).fill(-1)
  const alike = (a: number, b: number) => {
    for (let other = 0; other < devices; other += 1) {
      if (other === a || other === b) continue
      if (delayS[a * devices + other] !== delayS[b * devices + other]) return false
      if (bytesPerS[a * devices + other] !== bytesPerS[b * devices + other]) return false
    }
    return true
  }
  for (let device = 0; device < devices; device += 1) {
    let like = 0
    while (like < device && !alike(like, device)) like += 1
    kinds[device] = like === device ? device : kinds[like]!
  }
  return kinds
}
