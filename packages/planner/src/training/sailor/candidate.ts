import type { SailorJudge } from './judge.ts'
import { type Dealing, type Pool, placeReplicas, shareStages } from './mixes.ts'
import type { SailorPlan } from './plan.ts'
import type { SailorRequest } from './request.ts'

export interface Setting {
  readonly microbatch: number
  readonly stages: number
  readonly replicas: number
}

/** One setting of microbatch, stages and replicas; boundaries and accelerators are still open. */
export class Candidate {
  readonly #kinds: readonly string[]
  readonly #capacities: readonly number[]
  readonly #microbatches: number

  constructor(
    private readonly request: SailorRequest,
    readonly judge: SailorJudge,
    private readonly pools: readonly Pool[],
    private readonly setting: Setting,
  ) {
    this.#kinds = [...new Set(pools.map(({ accelerator }) => accelerator))].sort()
    this.#capacities = this.#kinds.map((kind) =>
      pools.reduce((sum, { accelerator, count }) => sum + (accelerator === kind ? count : 0), 0),
    )
    this.#microbatches = Math.ceil(request.globalBatch / (setting.microbatch * setting.replicas))
  }

  evenBounds(): readonly number[] {
    const { stages } = this.setting
    return Array.from({ length: stages + 1 }, (_, at) =>
      Math.round((at * this.request.tables.layers) / stages),
    )
  }

  *movedBounds(bounds: readonly number[]): Generator<readonly number[]> {
    for (let at = 1; at < bounds.length - 1; at += 1) {
      for (const step of [-1, 1]) {
        const moved = bounds.with(at, bounds[at]! + step)
        if (moved[at - 1]! < moved[at]! && moved[at]! < moved[at + 1]!) yield moved
      }
    }
  }

  /** Seconds that compute alone takes at the best common pace; `null` if the accelerators do not suffice. */
  lowerBoundS(bounds: readonly number[]): number | null {
    const options = this.#options(bounds)
    const pace = this.#bestPace(options)
    if (pace === null) return null
    const fill = options.reduce((sum, stage) => sum + Math.min(...stage.map(({ timeS }) => timeS)), 0)
    return (this.#microbatches - 1) * pace + fill
  }

  /** Rent of one accelerator for each replica and stage, the cheapest one throughout. */
  leastUsd(seconds: number): number {
    const { stages, replicas } = this.setting
    const perHour = Math.min(...this.#kinds.map((kind) => this.request.tables.usdPerHour(kind)))
    return (stages * replicas * perHour * seconds) / 3600
  }

  /** Divisions at the best pace and a little slower ones; of each, with stages let run faster where there is room. */
  *divisions(bounds: readonly number[]): Generator<Division> {
    const options = this.#options(bounds)
    const best = this.#bestPace(options)
    if (best === null) return
    const paces = [...new Set(options.flat().map(({ timeS }) => timeS))].sort((a, b) => a - b)
    for (const pace of paces.filter((each) => each >= best).slice(0, slowerPaces)) {
      const limits = options.map(() => pace)
      const tight = this.#tightened(options, limits)
      const isSame = tight.every((limit) => limit === pace)
      for (const each of isSame ? [limits] : [limits, tight]) {
        const degrees = leastDegrees(options, this.#kinds, each)
        const shares = this.#shares(degrees)
        if (shares !== null) yield { bounds, degrees, shares }
      }
    }
  }

  /** A division with its replicas put into zones, one way or many. */
  *plans({ bounds, degrees, shares }: Division, orders: 'first order' | 'all orders'): Generator<SailorPlan> {
    for (const pools of orders === 'all orders' ? this.#zoneOrders() : [this.pools]) {
      for (const dealing of dealings) {
        const placed = placeReplicas(shares, degrees, pools, dealing)
        if (placed === null) continue
        const stages = placed.map((replicas, stage) => ({
          first: bounds[stage]!,
          end: bounds[stage + 1]!,
          replicas,
        }))
        yield { microbatch: this.setting.microbatch, stages }
      }
    }
  }

  #zoneOrders(): readonly (readonly Pool[])[] {
    const zones = [...new Set(this.pools.map(({ zone }) => zone))]
    if (zones.length === 1 || zones.length > mostZonesToOrder) return []
    return permutations(zones).map((order) =>
      this.pools.toSorted((a, b) => order.indexOf(a.zone) - order.indexOf(b.zone)),
    )
  }

  /** Stages in turn get the fastest pace that the accelerators still allow. */
  #tightened(options: StageOptions[], limits: readonly number[]): readonly number[] {
    let tight = [...limits]
    for (const [stage, own] of options.entries()) {
      const faster = [...new Set(own.map(({ timeS }) => timeS))].sort((a, b) => a - b)
      for (const limit of faster) {
        if (limit >= tight[stage]!) break
        const tried = tight.with(stage, limit)
        if (this.#shares(leastDegrees(options, this.#kinds, tried)) !== null) {
          tight = tried
          break
        }
      }
    }
    return tight
  }

  #bestPace(options: StageOptions[]): number | null {
    if (options.some((stage) => stage.length === 0)) return null
    const paces = [...new Set(options.flat().map(({ timeS }) => timeS))].sort((a, b) => a - b)
    const possible = (pace: number) =>
      this.#shares(
        leastDegrees(
          options,
          this.#kinds,
          options.map(() => pace),
        ),
      ) !== null
    let low = 0
    let high = paces.length - 1
    if (!possible(paces[high]!)) return null
    while (low < high) {
      const middle = (low + high) >> 1
      if (possible(paces[middle]!)) high = middle
      else low = middle + 1
    }
    return paces[low]!
  }

  #shares(degrees: readonly (readonly number[])[]): readonly (readonly number[])[] | null {
    return shareStages(degrees, this.#capacities, this.setting.replicas)
  }

  /** For each stage, what could hold it: kinds and degrees that were profiled and whose memory suffices. */
  #options(bounds: readonly number[]): StageOptions[] {
    const { stages, microbatch } = this.setting
    const { tables } = this.request
    return Array.from({ length: stages }, (_, stage) => {
      const [first, end] = [bounds[stage]!, bounds[stage + 1]!]
      return this.#kinds.flatMap((accelerator) =>
        acceleratorsPerMachine.flatMap((degree) => {
          const timeS = this.judge.passesS(first, end, accelerator, microbatch, degree)
          if (timeS === null) return []
          const memory = this.judge.memoryBytes(first, end, stages - stage, microbatch, degree)
          return memory <= tables.memoryBytes(accelerator) ? [{ accelerator, degree, timeS }] : []
        }),
      )
    })
  }
}

/** Tensor-parallel degrees inside Sailor's machines of four. */
const acceleratorsPerMachine = [1, 2, 4]
const slowerPaces = 3
const dealings: readonly Dealing[] = ['in proportion', 'in turn']

/** Who holds how much, zones still open. */
interface Division {
  readonly bounds: readonly number[]
  readonly degrees: readonly (readonly number[])[]
  readonly shares: readonly (readonly number[])[]
}

const mostZonesToOrder = 4

const permutations = <T>(items: readonly T[]): readonly (readonly T[])[] =>
  items.length === 0
    ? [[]]
    : items.flatMap((item, at) => permutations(items.toSpliced(at, 1)).map((rest) => [item, ...rest]))

type StageOptions = readonly {
  readonly accelerator: string
  readonly degree: number
  readonly timeS: number
}[]

const leastDegrees = (options: StageOptions[], kinds: readonly string[], limits: readonly number[]) =>
  kinds.map((kind) =>
    options.map((stage, at) =>
      stage.reduce(
        (least, { accelerator, degree, timeS }) =>
          accelerator === kind && timeS <= limits[at]! ? Math.min(least, degree) : least,
        Number.POSITIVE_INFINITY,
      ),
    ),
  )
