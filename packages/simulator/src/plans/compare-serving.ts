import { seededRandom } from '@deos/domain'
import {
  canonicalFleet,
  equalSplit,
  type FleetMachine,
  type FlowInstance,
  type FlowLink,
  type FlowPlacement,
  flowOfPlacement,
  LinkLookup,
  petalsPlacement,
  type ServingRequest,
  searchPlacement,
  separatePipelines,
  swarmPlacement,
  tensorDegrees,
  type WeightPrecision,
} from '@deos/planner'
import { FlowRouter } from '../serving/routing/flow-router.ts'
import type { Router } from '../serving/routing/router.ts'
import { SwarmRouter } from '../serving/routing/swarm-router.ts'
import type { FleetLink, ServingFleet } from '../serving/serving-fleet.ts'
import { simulateServing } from '../serving/simulate-serving.ts'
import { drawRequests } from './draw-requests.ts'
import { type PlanSetting, StageBuilder } from './plan-fleet.ts'
import { type SteadyBudget, steadyCount } from './steady-requests.ts'

/** What a published way of placing layers serves on the same fleet, in the same simulation. */
export interface ServingBaseline {
  readonly name: string
  /** The most within the targets; 0 if none is. */
  readonly requestsPerS: number
  readonly ttftMs: number | null
  readonly tpotMs: number | null
  readonly note: string
}

export interface CompareOptions {
  readonly seed: number
  /** How much is played at each rate. */
  readonly budget: SteadyBudget
  /** Placements that Helix's search may look at. */
  readonly evaluations: number
}

const lowered = 0.85
const lowerings = 22
const activationBytesPerElement = 2
const tokenBytes = 4

/**
 * Equal split, Petals, SWARM, separate pipelines by kind, and the largest flow as Helix seeks it; groups are what a
 * machine holds, in the first precision allowed that fits. SWARM routes by its own rule, the others by the flow of their
 * placement, which is to the advantage of Petals. The rate is lowered until the simulation meets the targets.
 */
export function servingBaselines(setting: PlanSetting, options: CompareOptions): readonly ServingBaseline[] {
  const sorted = { ...setting, fleet: canonicalFleet(setting.fleet) }
  const methods: readonly (readonly [string, (instance: FlowInstance) => FlowPlacement | null])[] = [
    ['equal split', equalSplit],
    ['Petals', petalsPlacement],
    ['SWARM', swarmPlacement],
    ['separate pipelines', separatePipelines],
    [
      'Helix (largest flow)',
      (instance) =>
        searchPlacement(instance, {
          evaluations: options.evaluations,
          random: seededRandom(options.seed),
        }).placement,
    ],
  ]
  const found = methods.map(([name, place]): ServingBaseline => {
    for (const precision of setting.workload.precisions) {
      const game = new Game(precision, sorted)
      const placement = game.instance === null ? null : place(game.instance)
      if (placement === null) continue
      const served = game.most(placement, name === 'SWARM', options)
      if (served !== null) return { name, ...served, note: precision }
    }
    return {
      name,
      requestsPerS: 0,
      ttftMs: null,
      tpotMs: null,
      note: 'the model does not fit, or no rate meets the targets',
    }
  })
  return found
}

/** The fleet with one device for each machine. */
class Game {
  readonly instance: FlowInstance | null
  readonly #builder: StageBuilder
  readonly #groups: readonly (readonly FleetMachine[])[]
  readonly #links: LinkLookup

  constructor(
    precision: WeightPrecision,
    private readonly setting: PlanSetting,
  ) {
    const { fleet, shape } = setting
    this.#builder = new StageBuilder(precision, setting)
    this.#links = new LinkLookup(fleet)
    this.#groups = fleet.machines.map((machine) => {
      const degree = tensorDegrees(shape, machine.accelerators).at(-1)!
      return Array.from({ length: degree }, () => machine)
    })
    this.instance = this.#instance()
  }

  /** The most that a placement serves within the targets. */
  most(
    placement: FlowPlacement,
    byLatency: boolean,
    { seed, budget }: CompareOptions,
  ): Omit<ServingBaseline, 'name' | 'note'> | null {
    const { workload } = this.setting
    const flow = flowOfPlacement(this.instance!, placement)
    if (!(flow.tokensPerSecond > 0)) return null
    const { fleet, index } = this.#fleet(placement)
    const routes = flow.routes.map(({ from, to, tokensPerSecond }) => ({
      from: typeof from === 'number' ? index.get(from)! : from,
      to: typeof to === 'number' ? index.get(to)! : to,
      tokensPerSecond,
    }))
    const router = (): Router =>
      byLatency
        ? new SwarmRouter(fleet)
        : new FlowRouter(fleet, {
            flow: routes,
            kvMost: 0.95,
            expectedOutputTokens: workload.outputTokens.mean,
            mayTurnAway: false,
          })
    const output = workload.outputTokens.mean
    const visits = routes.reduce(
      (sum, { to, tokensPerSecond }) => sum + (to === 'sink' ? 0 : tokensPerSecond),
      0,
    )
    const events = (visits / flow.tokensPerSecond) * (output + 1)
    const play = (rate: number, requests: number) =>
      this.#play(fleet, router(), drawRequests(workload, rate, requests, seededRandom(seed)))
    let rate = flow.tokensPerSecond / (workload.promptTokens.mean + output)
    for (let round = 0; round < lowerings; round += 1, rate *= lowered) {
      const begun = play(rate, budget.least)
      const underWay = (rate * (begun.ttftMs + output * begun.tpotMs)) / 1000
      const requests = steadyCount(underWay, events, budget)
      const served = requests > budget.least ? play(rate, requests) : begun
      const { requestsPerS, ttftMs, tpotMs } = served
      const meets =
        (workload.ttftMs === null || ttftMs <= workload.ttftMs * 1.02) &&
        (workload.tpotMs === null || tpotMs <= workload.tpotMs * 1.02) &&
        requestsPerS >= rate * 0.9
      if (meets) return served
    }
    return null
  }

  /** What is served of requests after the first third of them. */
  #play(
    fleet: ServingFleet,
    router: Router,
    arrivals: readonly ServingRequest[],
  ): { readonly requestsPerS: number; readonly ttftMs: number; readonly tpotMs: number } {
    const warm = Math.floor(arrivals.length / 3)
    const window = { fromMs: arrivals[warm]!.atMs, toMs: arrivals.at(-1)!.atMs + 1 }
    const workload = { kind: 'open' as const, arrivals }
    const result = simulateServing({ fleet, router, workload, window, gatherMs: 1e-6, stepsTogether: true })
    const counted = arrivals.slice(warm)
    const output = counted.reduce((sum, { outputTokens }) => sum + outputTokens, 0) / counted.length
    return {
      requestsPerS: result.decodeTokensPerSecond / output,
      ttftMs: mean(result.promptMs),
      tpotMs: mean(result.decodeMs),
    }
  }

  #instance(): FlowInstance | null {
    const { shape, workload, fleet } = this.setting
    const tokens = workload.promptTokens.mean + workload.outputTokens.mean
    const perToken = shape.hiddenSize * activationBytesPerElement
    const devices = this.#groups.map((group) => {
      const rates: number[] = []
      const costs = this.#builder.costsOf(group)
      for (let count = 1; count <= shape.layers; count += 1) {
        const range = { first: 0, end: count }
        const room = Math.min(workload.maxBatch, costs.sequencesIn(range))
        if (room < 1) break
        const requestMs =
          costs.prefillMs(range) + (workload.outputTokens.mean * costs.decodeMs(range, room)) / room
        rates.push((tokens * 1000) / requestMs)
      }
      const { name, accelerator } = group[0]!
      return { name, kind: `${accelerator.name}×${group.length}`, tokensPerSecondByLayers: rates }
    })
    // A machine too small for one layer takes no part, which the flow cannot say: nobody can use its links.
    const usable = devices.map(({ tokensPerSecondByLayers: rates }) => rates.length > 0)
    if (!usable.includes(true)) return null
    const links: FlowLink[] = fleet.machines.flatMap((machine, from): FlowLink[] => [
      { from: 'source', to: from, tokensPerSecond: usable[from] ? 1e9 : 0 },
      { from, to: 'sink', tokensPerSecond: usable[from] ? 1e9 : 0 },
      ...fleet.machines.flatMap((other, to) =>
        from === to
          ? []
          : [{ from, to, tokensPerSecond: this.#links.between(machine, other).bytesPerS / perToken }],
      ),
    ])
    const filled = devices.map((device, at) =>
      usable[at] ? device : { ...device, tokensPerSecondByLayers: [1e-6] },
    )
    return { layers: shape.layers, devices: filled, links }
  }

  #fleet(placement: FlowPlacement): {
    readonly fleet: ServingFleet
    readonly index: ReadonlyMap<number, number>
  } {
    const { shape, fleet } = this.setting
    const index = new Map<number, number>()
    const machines = placement.flatMap((range, device) => {
      if (range === null) return []
      index.set(device, index.size)
      return [this.#builder.stage(this.#groups[device]!, range, 'together')]
    })
    const held = [...index]
    const links: FleetLink[] = held.flatMap(([device, at]): FleetLink[] => [
      { from: 'source', to: at, bytesPerMs: Number.POSITIVE_INFINITY, latencyMs: 0 },
      { from: at, to: 'sink', bytesPerMs: Number.POSITIVE_INFINITY, latencyMs: 0 },
      ...held.flatMap(([other, to]) => {
        if (to === at) return []
        const { delayMs, bytesPerS } = this.#links.between(fleet.machines[device]!, fleet.machines[other]!)
        return [{ from: at, to, bytesPerMs: bytesPerS / 1000, latencyMs: delayMs }]
      }),
    ])
    const activationBytes = shape.hiddenSize * activationBytesPerElement
    return { fleet: { layers: shape.layers, machines, links, activationBytes, tokenBytes }, index }
  }
}

const mean = (values: Float64Array): number =>
  values.length === 0 ? Number.POSITIVE_INFINITY : values.reduce((sum, each) => sum + each, 0) / values.length
