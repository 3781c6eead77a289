import type { Random } from '@deos/domain'
import { transferS } from '../network.ts'
import { DtFmEvaluator } from './evaluator.ts'
import { type DtFmPlan, shuffled } from './search.ts'
import { checkTask, type DtFmTask } from './task.ts'

export interface GeneticSearch {
  /** The authors use 100. */
  readonly population: number
  /** Children; the authors have 4,900. */
  readonly trials: number
  readonly random: Random
}

const crossoverPoints = 5

/**
 * DT-FM's own search, as a baseline: a child takes the groups of five devices from one parent and all others from the
 * other, is balanced again, improved by cyclic moves between groups, and replaces the worse parent if it is better than
 * one of them.
 *
 * @see Yuan et al. 2022 (arXiv:2206.01288), section 3.3
 */
export function searchDtFmGenetically(
  task: DtFmTask,
  { population, trials, random }: GeneticSearch,
): DtFmPlan {
  const evaluator = new DtFmEvaluator(checkTask(task))
  const identity = Int32Array.from({ length: task.network.devices }, (_, device) => device)
  const moves = new CyclicMoves(task)
  const cost = (labels: Int32Array) => evaluator.cost(orderOf(labels)).totalS
  const people = Array.from({ length: population }, () => {
    const labels = labelsOf(shuffled(identity, random), task)
    return { labels, totalS: cost(labels) }
  })
  for (let trial = 0; trial < trials; trial += 1) {
    const [first, second] = [people[pick(random, population)]!, people[pick(random, population)]!]
    const labels = moves.improve(child(first.labels, second.labels, task, random))
    const totalS = cost(labels)
    const worse = first.totalS > second.totalS ? first : second
    if (totalS < worse.totalS) Object.assign(worse, { labels, totalS })
  }
  const best = people.reduce((least, each) => (each.totalS < least.totalS ? each : least))
  const order = orderOf(best.labels)
  return { cost: evaluator.cost(order), pipelines: evaluator.pipelines(order) }
}

const pick = (random: Random, count: number): number => Math.floor(random.next() * count)

function labelsOf(order: Int32Array, { replicas }: DtFmTask): Int32Array {
  const labels = new Int32Array(order.length)
  for (const [at, device] of order.entries()) labels[device] = Math.floor(at / replicas)
  return labels
}

/** Devices by group, in each by number. */
const orderOf = (labels: Int32Array): Int32Array =>
  Int32Array.from(labels.keys()).sort((a, b) => labels[a]! - labels[b]! || a - b)

function child(first: Int32Array, second: Int32Array, task: DtFmTask, random: Random): Int32Array {
  const labels = second.slice()
  for (let point = 0; point < crossoverPoints; point += 1) {
    const device = pick(random, labels.length)
    labels[device] = first[device]!
  }
  const sizes = new Int32Array(task.stages)
  for (const label of labels) sizes[label] = sizes[label]! + 1
  for (const [device, label] of labels.entries()) {
    if (sizes[label]! <= task.replicas) continue
    const roomy = sizes.findIndex((size) => size < task.replicas)
    sizes[label] = sizes[label]! - 1
    sizes[roomy] = sizes[roomy]! + 1
    labels[device] = roomy
  }
  return labels
}

interface Move {
  readonly device: number
  readonly from: number
  readonly to: number
}

/**
 * Kernighan and Lin's moves for many groups: of each group the device with the quickest link inside it goes to the group
 * to which its links are slowest, so that quick links come to lie between groups; from there the next one goes on, until
 * the way comes back to where it began. Of each way the part that gains most is kept.
 */
class CyclicMoves {
  readonly #sendS: Float64Array
  readonly #devices: number

  constructor(private readonly task: DtFmTask) {
    const { network, activationBytes } = task
    this.#devices = network.devices
    this.#sendS = Float64Array.from({ length: network.devices ** 2 }, (_, pair) =>
      transferS(network, Math.floor(pair / network.devices), pair % network.devices, activationBytes),
    )
  }

  improve(labels: Int32Array): Int32Array {
    const locked = new Uint8Array(this.#devices)
    const result = labels.slice()
    for (let cycle = 0; cycle < this.task.stages; cycle += 1) {
      if (!this.#cycle(result, locked)) break
    }
    return result
  }

  /** @returns whether something was gained; if not, `labels` is as before */
  #cycle(labels: Int32Array, locked: Uint8Array): boolean {
    const trial = labels.slice()
    const start = this.#bestStart(trial, locked)
    if (start === null) return false
    const made: Move[] = []
    let gained = 0
    let best = { gain: 0, length: 0 }
    for (let from = start; made.length < this.#devices; ) {
      const device = this.#leaver(trial, locked, from)
      if (device === null) break
      const closing = gained + this.#gain(trial, device, start)
      if (made.length > 0 && closing > best.gain) best = { gain: closing, length: made.length + 1 }
      const to = this.#slowestGroup(trial, device)
      gained += this.#gain(trial, device, to)
      locked[device] = 1
      trial[device] = to
      made.push({ device, from, to })
      from = to
      if (to === start) break
    }
    for (const [at, { device, to }] of made.slice(0, best.length).entries()) {
      labels[device] = at === best.length - 1 ? start : to
    }
    return best.length > 0
  }

  #bestStart(labels: Int32Array, locked: Uint8Array): number | null {
    let best: { group: number; gain: number } | null = null
    for (let group = 0; group < this.task.stages; group += 1) {
      const device = this.#leaver(labels, locked, group)
      if (device === null) continue
      const gain = this.#gain(labels, device, this.#slowestGroup(labels, device))
      if (best === null || gain > best.gain) best = { group, gain }
    }
    return best === null ? null : best.group
  }

  /** The device of a group, not moved yet, that has the quickest link inside it. */
  #leaver(labels: Int32Array, locked: Uint8Array, group: number): number | null {
    let leaver: number | null = null
    let least = Number.POSITIVE_INFINITY
    for (let device = 0; device < this.#devices; device += 1) {
      if (labels[device] !== group || locked[device] === 1) continue
      const quickest = this.#quickestInside(labels, device)
      if (quickest >= least) continue
      least = quickest
      leaver = device
    }
    return leaver
  }

  #slowestGroup(labels: Int32Array, device: number): number {
    let slowest = labels[device] === 0 ? 1 : 0
    for (let group = 0; group < this.task.stages; group += 1) {
      if (group === labels[device]) continue
      if (this.#meanTo(labels, device, group) > this.#meanTo(labels, device, slowest)) slowest = group
    }
    return slowest
  }

  #gain(labels: Int32Array, device: number, to: number): number {
    return this.#meanTo(labels, device, to) - this.#quickestInside(labels, device)
  }

  #quickestInside(labels: Int32Array, device: number): number {
    let quickest = Number.POSITIVE_INFINITY
    for (let other = 0; other < this.#devices; other += 1) {
      if (other === device || labels[other] !== labels[device]) continue
      quickest = Math.min(quickest, this.#sendS[device * this.#devices + other]!)
    }
    return quickest
  }

  #meanTo(labels: Int32Array, device: number, group: number): number {
    let sum = 0
    let count = 0
    for (let other = 0; other < this.#devices; other += 1) {
      if (other === device || labels[other] !== group) continue
      sum += this.#sendS[device * this.#devices + other]!
      count += 1
    }
    return count === 0 ? 0 : sum / count
  }
}
