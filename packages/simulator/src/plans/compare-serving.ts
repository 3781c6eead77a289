import { seededRandom } from '@deos/domain'
import {
  bestRate,
  canonicalFleet,
  equalSplit,
  type FleetMachine,
  type FlowInstance,
  type FlowLink,
  type FlowPlacement,
  flowOfPlacement,
  LinkLookup,
  petalsPlacement,
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
import type { ServingRun } from '../serving/simulate-serving.ts'
import { shareWithinTargets, steadyFlow } from './goodput-within.ts'
import { type PlanSetting, StageBuilder, usualChunkTokens } from './plan-fleet.ts'
import { type DrawnLoad, playDrawn } from './play-drawn.ts'
import { steadySeconds } from './steady-requests.ts'
import { type Served, type ServedTimes, steadyLoad, untilSteady } from './until-steady.ts'

/** What a published way of placing layers serves on the same fleet, in the same simulation. */
export interface ServingBaseline {
  readonly name: string
  /** Requests a second whose own TTFT and mean TPOT are within the targets, at the rate where they are most. */
  readonly goodputPerS: number
  readonly ttftMs: number | null
  readonly tpotMs: number | null
  readonly note: string
}

export interface CompareOptions {
  readonly seed: number
  /** So many requests are played at each rate in any case. */
  readonly least: number
  /** Placements that Helix's search may look at. */
  readonly evaluations: number
}

/** How often a rate is changed until the one with the most goodput is found. */
const rounds = { mostDown: 28, mostUp: 8 }
const activationBytesPerElement = 2
const tokenBytes = 4

/**
 * Equal split, Petals, SWARM, separate pipelines by kind, and the largest flow as Helix seeks it; groups are what a
 * machine holds, in the precision that serves most. SWARM routes by its own rule, the others by the flow of their
 * placement, which is to the advantage of Petals. What counts is the goodput, at the rate where it is most.
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
  return methods.map(([name, place]): ServingBaseline => {
    const served = setting.workload.precisions.flatMap((precision) => {
      const game = new Game(precision, sorted)
      const placement = game.instance === null ? null : place(game.instance)
      const most = placement === null ? null : game.most(placement, name === 'SWARM', options)
      return most === null ? [] : [{ name, ...most, note: precision }]
    })
    const none = { name, goodputPerS: 0, ttftMs: null, tpotMs: null, note: nothingServed }
    return served.sort((a, b) => b.goodputPerS - a.goodputPerS)[0] ?? none
  })
}

const nothingServed = 'the model does not fit, or no answer is within the targets'

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
    this.#builder = new StageBuilder(precision, setting, { chunkTokens: usualChunkTokens })
    this.#links = new LinkLookup(fleet)
    this.#groups = fleet.machines.map((machine) => {
      const degree = tensorDegrees(shape, machine.accelerators).at(-1)!
      return Array.from({ length: degree }, () => machine)
    })
    this.instance = this.#instance()
  }

  /** The most goodput of a placement. */
  most(
    placement: FlowPlacement,
    byLatency: boolean,
    { seed, least }: CompareOptions,
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
    const first = flow.tokensPerSecond / (workload.promptTokens.mean + output)
    let expected: ServedTimes = { ttftMs: 0, tpotMs: 0 }
    const tryAt = (share: number) => {
      const rate = first * share
      const served = untilSteady({ ...expected, promptsPerS: rate }, (times) => {
        const asked = { requestsPerS: rate, seed, least, seconds: steadySeconds(times) }
        return this.#play({ fleet, router: router() }, steadyLoad(times, asked, workload))
      })
      expected = served
      return { ...served, worth: served.goodputPerS, attained: served.goodputPerS / rate }
    }
    const { worth, ttftMs, tpotMs } = bestRate(tryAt, rounds)!
    return worth > 0 ? { goodputPerS: worth, ttftMs, tpotMs } : null
  }

  #play(
    service: Pick<ServingRun, 'fleet' | 'router'>,
    load: DrawnLoad,
  ): Served & { readonly goodputPerS: number } {
    const { workload } = this.setting
    const { result, came, meanOutput } = playDrawn(service, workload, load)
    const { promptsPerS, requestsPerS } = steadyFlow(result, { rate: load.requestsPerS, came, meanOutput })
    return {
      promptsPerS,
      goodputPerS: requestsPerS * shareWithinTargets(result, workload),
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
    const batching = 'chunked'
    return { fleet: { layers: shape.layers, machines, links, activationBytes, tokenBytes, batching }, index }
  }
}

const mean = (values: Float64Array): number =>
  values.length === 0 ? Number.POSITIVE_INFINITY : values.reduce((sum, each) => sum + each, 0) / values.length
