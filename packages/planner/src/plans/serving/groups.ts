import type { ModelShape } from '../../models/index.ts'
import type { ComputeFleet, LinkLookup } from '../fleet.ts'
import { dividedPipelines } from './divide-layers.ts'
import type { PipelineState, Role, ServingPipeline } from './pipeline.ts'
import { UnitCosts } from './unit-costs.ts'
import { machineOf, type Unit } from './units.ts'
import type { ServingWorkload, WeightPrecision } from './workload.ts'

/** The best pipeline that units of these kinds, places and prices can form. */
export interface GroupForm {
  readonly pipeline: ServingPipeline
  /** Of the units in order, those that hold a stage. */
  readonly positions: readonly number[]
  readonly most: PipelineState
}

/** Units in the order of a pipeline. */
export interface Group {
  readonly units: readonly Unit[]
  readonly form: GroupForm
}

const mostPlacesToPermute = 4

/** Units with the same keys form the same pipelines at the same price: which of them share a machine says their links. */
function keysOf(units: readonly Unit[]): readonly string[] {
  const machines = [...new Set(units.map(machineOf))]
  const numbers = new Map(machines.map((machine, at) => [machine, at]))
  return units.map(
    (unit) => `${unit.kindKey}@${unit.place}$${unit.pricePerHour}#${numbers.get(machineOf(unit))!}`,
  )
}

/** Remembers what groups of alike units can do, for a search forms the same ones again and again. */
export class GroupForms {
  readonly #costs = new Map<string, UnitCosts>()
  readonly #forms = new Map<string, GroupForm | null>()

  constructor(
    private readonly shape: ModelShape,
    readonly precision: WeightPrecision,
    readonly workload: ServingWorkload,
    private readonly fleet: ComputeFleet,
    private readonly links: LinkLookup,
  ) {}

  costsOf = (unit: Unit): UnitCosts => {
    const known = this.#costs.get(unit.kindKey)
    if (known !== undefined) return known
    const { shape, precision, workload, fleet } = this
    const made = new UnitCosts(shape, unit.kind, precision, workload, fleet.efficiency)
    this.#costs.set(unit.kindKey, made)
    return made
  }

  /** Layers that a unit has room for, sessions included. */
  layersIn(unit: Unit, sequences: number): number {
    const costs = this.costsOf(unit)
    const all = { first: 0, end: costs.layers }
    const kv = Math.max(costs.kvBytesOfLongest(all), sequences * costs.kvBytesPerSequence(all))
    return Math.min(costs.layers, (costs.roomBytes * costs.layers) / (costs.weightBytes(all) + kv))
  }

  /** @returns null if the units cannot hold the model, or no request meets the targets on them */
  group(units: readonly Unit[], role: Role): Group | null {
    if (units.length === 0) return null
    const ordered = this.#ordered(units)
    const key = `${role}|${keysOf(ordered).join('|')}`
    let form = this.#forms.get(key)
    if (form === undefined) {
      form = this.#form(ordered, role)
      this.#forms.set(key, form)
    }
    return form === null ? null : { units: ordered, form }
  }

  #form(units: readonly Unit[], role: Role): GroupForm | null {
    const { workload } = this
    let best: GroupForm | null = null
    let bestScore = Number.NEGATIVE_INFINITY
    for (const pipeline of dividedPipelines(units, this.costsOf, workload, this.links)) {
      const most = pipeline.most(role)
      if (most === null) continue
      const score = scoreOf(pipeline, most, workload, role)
      if (score <= bestScore) continue
      bestScore = score
      const kept = new Set(pipeline.stages.map(({ unit }) => unit))
      const positions = units.flatMap((unit, at) => (kept.has(unit) ? [at] : []))
      best = { pipeline, positions, most }
    }
    return best
  }

  /** Places one after another such that a token's way around is short, alike units together. */
  #ordered(units: readonly Unit[]): readonly Unit[] {
    const places = [...new Set(units.map(({ place }) => place))].sort()
    const rank = new Map(this.#route(places, units).map((place, at) => [place, at]))
    return [...units].sort(
      (a, b) =>
        rank.get(a.place)! - rank.get(b.place)! ||
        (a.kindKey < b.kindKey ? -1 : a.kindKey > b.kindKey ? 1 : a.index - b.index),
    )
  }

  #route(places: readonly string[], units: readonly Unit[]): readonly string[] {
    if (places.length <= 2) return places
    const machines = new Map(units.map((unit) => [unit.place, machineOf(unit)]))
    const delayMs = (a: string, b: string) => this.links.between(machines.get(a)!, machines.get(b)!).delayMs
    if (places.length <= mostPlacesToPermute) {
      const [first, ...rest] = places
      return shortest(
        permutations(rest).map((others) => [first!, ...others]),
        delayMs,
      )
    }
    return shortest(
      places.map((start) => nearestFrom(start, places, delayMs)),
      delayMs,
    )
  }
}

function nearestFrom(
  start: string,
  places: readonly string[],
  delayMs: (a: string, b: string) => number,
): readonly string[] {
  const left = places.filter((place) => place !== start)
  const route = [start]
  while (left.length > 0) {
    const here = route.at(-1)!
    let nearest = 0
    for (const [at, place] of left.entries()) {
      if (delayMs(here, place) < delayMs(here, left[nearest]!)) nearest = at
    }
    route.push(...left.splice(nearest, 1))
  }
  return route
}

function shortest(
  routes: readonly (readonly string[])[],
  delayMs: (a: string, b: string) => number,
): readonly string[] {
  const length = (route: readonly string[]) =>
    route.reduce((sum, place, at) => sum + delayMs(place, route[(at + 1) % route.length]!), 0)
  return routes.reduce((best, route) => (length(route) < length(best) ? route : best))
}

function permutations<T>(items: readonly T[]): readonly (readonly T[])[] {
  if (items.length <= 1) return [items]
  return items.flatMap((item, at) =>
    permutations([...items.slice(0, at), ...items.slice(at + 1)]).map((rest) => [item, ...rest]),
  )
}

/** Which of a group's divisions is wanted: the quickest, or the one that carries most, by the dollar where that counts. */
function scoreOf(
  pipeline: ServingPipeline,
  most: PipelineState,
  { goal, outputTokens }: ServingWorkload,
  role: Role,
): number {
  if (goal === 'throughput') return most.requestsPerS
  if (goal === 'cost') return most.requestsPerS / Math.max(1e-9, pipeline.pricePerHour)
  const alone = pipeline.at(1e-6, role)!
  return -(alone.ttftMs + outputTokens.mean * alone.tpotMs)
}
