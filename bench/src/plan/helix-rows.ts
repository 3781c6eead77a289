import { join } from 'node:path'
import { seededRandom } from '@deos/domain'
import {
  type FlowInstance,
  type FlowPlacement,
  flowOfPlacement,
  separatePipelines,
  swarmStages,
} from '@deos/planner'
import {
  ChanceRouter,
  FlowRouter,
  percentile,
  type Router,
  type ServingFleet,
  type ServingResult,
  SwarmRouter,
  simulateServing,
} from '@deos/simulator'
import {
  type HelixCluster,
  type HelixModel,
  type HelixProfiles,
  readHelixCluster,
  readHelixProfiles,
  stageFleet,
} from './helix-cluster.ts'
import { type HelixInstance, readHelixInstances } from './helix-instances.ts'
import { HelixTrace } from './helix-workload.ts'

export type HelixSite = 'single24' | 'geo24'
export type HelixMethod = 'Helix' | 'Swarm' | 'Separate Pipelines'
export type ServingMode = 'offline' | 'online'

/** One line of the published table. */
export interface HelixRow {
  readonly site: HelixSite
  readonly model: HelixModel
  readonly mode: ServingMode
  readonly method: HelixMethod
}

/** What a whole row did, its sub-clusters together. */
export interface RowResult {
  readonly decodeTokensPerSecond: number
  readonly promptMs: Float64Array
  readonly decodeMs: Float64Array
  readonly events: number
  readonly kvPeak: number
}

/** A part of a row that is simulated alone: machines that share nothing with the others. */
export interface Part {
  readonly fleet: ServingFleet
  readonly router: (mode: ServingMode) => Router
  /** Offline: share of the KV cache up to which requests are let in; null replaces what is finished. */
  readonly fillUpTo: number | null
  /** Offline: requests at once. Online: tokens/s that arrive. Both as in the authors' scripts. */
  readonly initial: number
  readonly load: number
}

export const seconds = { offline: { from: 60, to: 660 }, online: { from: 0, to: 1800 } } as const
/** Helix's: requests are let in up to `fillUpTo`, a machine takes them up to `kvMost`. */
export const helixAdmission = { fillUpTo: 0.8, kvMost: 0.85 }
const kinds = ['a100', 'l4', 't4'] as const

/** From the authors' step3_simulation.py: [requests at once, tokens/s online], Helix and separate pipelines by kind. */
export const loads: Readonly<
  Record<
    HelixSite,
    Readonly<Record<HelixModel, Readonly<Record<HelixMethod, readonly (readonly [number, number])[]>>>>
  >
> = {
  single24: {
    llama1_30b: {
      Helix: [
        [20, 600],
        [20, 200],
        [20, 170],
      ],
      Swarm: [[50, 450]],
      'Separate Pipelines': [
        [30, 500],
        [25, 150],
        [25, 150],
      ],
    },
    llama2_70b: {
      Helix: [[20, 700]],
      Swarm: [[180, 350]],
      'Separate Pipelines': [
        [18, 240],
        [40, 120],
        [3, 10],
      ],
    },
  },
  geo24: {
    llama1_30b: {
      Helix: [
        [20, 560],
        [20, 140],
        [20, 140],
      ],
      Swarm: [[60, 380]],
      'Separate Pipelines': [
        [35, 520],
        [40, 100],
        [40, 140],
      ],
    },
    llama2_70b: {
      Helix: [[20, 320]],
      Swarm: [[180, 160]],
      'Separate Pipelines': [
        [1, 1],
        [60, 120],
        [50, 60],
      ],
    },
  },
}

/** Of stages with more layers than were measured, tokens for each layer: the authors' cluster files. */
const forcedKv: Readonly<Record<HelixSite, Readonly<Record<string, number>>>> = {
  single24: { 'a100/20': 491_900 / 20, 'l4/10': 593_600 / 10, 't4/6': 216_960 / 6, 't4/7': 44_800 / 7 },
  geo24: { 'a100/20': 35_200 / 20, 'l4/10': 786_080 / 10, 't4/6': 794_976 / 6, 't4/7': 456_960 / 7 },
}

/** First layers where the authors' pipelines over slow links do not follow the order of the machines. */
const separateFirst: Readonly<Record<string, readonly number[]>> = {
  'geo24/llama1_30b/l4': [32, 8, 24, 39, 0, 16, 53, 46],
  'geo24/llama2_70b/t4': [62, 0, 35, 42, 56, 21, 74, 49, 14, 7, 28, 68],
}

const clusterFolder = { single24: 'single_cluster', geo24: 'distributed_clusters' } as const
const clusterFile = { single24: 'cluster24', geo24: '3cluster24' } as const

/** The authors' clusters, workload and placements, read once. */
export class HelixSetup {
  readonly profiles: HelixProfiles
  readonly trace: HelixTrace
  readonly instances: readonly HelixInstance[]

  constructor(readonly folder: string) {
    this.profiles = readHelixProfiles(folder)
    this.trace = new HelixTrace(folder)
    this.instances = readHelixInstances(folder)
  }

  cluster(site: HelixSite, part: string = clusterFile[site]): HelixCluster {
    return readHelixCluster(join(this.folder, 'clusters', `${clusterFolder[site]}__${part}.ini`))
  }

  instance(name: string): HelixInstance {
    const found = this.instances.find((each) => each.name === name)
    if (found === undefined) throw new RangeError(`There is no instance ${name}.`)
    return found
  }

  fleet(site: HelixSite, part: string, model: HelixModel, placement: FlowPlacement): ServingFleet {
    const kv = forcedKv[site]
    return stageFleet(this.cluster(site, part), this.profiles, model, placement, (kind, layers) =>
      layers > this.profiles[`${model}/${kind}`]!.max_layers ? kv[`${kind}/${layers}`] : undefined,
    )
  }

  run(row: HelixRow, seed: number): RowResult {
    return together(this.parts(row).map((part) => this.runPart(part, row.mode, seed)))
  }

  runPart(
    part: Part,
    mode: ServingMode,
    seed: number,
    { from, to }: { readonly from: number; readonly to: number } = seconds[mode],
  ): ServingResult {
    const workload =
      mode === 'online'
        ? this.trace.open(seed, part.load, to * 1000)
        : this.trace.closed(
            seed,
            part.initial,
            part.fillUpTo === null ? { by: 'replace' } : { by: 'fill', kvMost: part.fillUpTo },
          )
    return simulateServing({
      fleet: part.fleet,
      router: part.router(mode),
      workload,
      window: { fromMs: from * 1000, toMs: to * 1000 },
    })
  }

  /** A part routed by the flow of its placement, as Helix does. */
  flowPart(
    fleet: ServingFleet,
    instance: FlowInstance,
    placement: FlowPlacement,
    [initial, load]: readonly [number, number],
    admission = helixAdmission,
  ): Part {
    const index = new Map(
      placement
        .flatMap((range, device) => (range === null ? [] : [device]))
        .map((device, at) => [device, at]),
    )
    const flow = flowOfPlacement(instance, placement).routes.map(({ from, to, tokensPerSecond }) => ({
      from: from === 'source' ? from : index.get(from)!,
      to: to === 'sink' ? to : index.get(to)!,
      tokensPerSecond,
    }))
    const router = (mode: ServingMode) =>
      new FlowRouter(fleet, {
        flow,
        kvMost: mode === 'online' ? 0.9 : admission.kvMost,
        expectedOutputTokens: mode === 'online' ? 240 * 0.6 : 240,
        mayTurnAway: mode === 'offline',
      })
    return { fleet, router, fillUpTo: admission.fillUpTo, initial, load }
  }

  private parts({ site, model, method }: HelixRow): readonly Part[] {
    const given = loads[site][model][method]
    if (method === 'Swarm') return [this.swarmPart(site, model, given[0]!)]
    if (method === 'Helix' && model === 'llama2_70b') {
      const { instance, published } = this.instance(`${site}_llama70b`)
      const { placement } = published.find((each) => each.method === 'helix')!
      const fleet = this.fleet(site, clusterFile[site], model, placement)
      return [this.flowPart(fleet, instance, placement, given[0]!)]
    }
    if (method === 'Helix') {
      return kinds.map((kind, at) => {
        const name = kind === 'l4' ? 'single24_llama30b_l4' : `${site}_llama30b_${kind}`
        const { instance, published } = this.instance(name)
        const { placement } = published[0]!
        return this.flowPart(this.fleet(site, kind, model, placement), instance, placement, given[at]!)
      })
    }
    return kinds.map((kind, at) => this.separatePart(site, model, kind, given[at]!))
  }

  private swarmPart(site: HelixSite, model: HelixModel, [initial, load]: readonly [number, number]): Part {
    const { instance, published } = this.instance(`${site}_llama70b`)
    const placement =
      model === 'llama2_70b'
        ? published.find((each) => each.method === 'swarm')!.placement
        : swarmStages({ ...instance, layers: 60, devices: this.rates30b(instance) }, 6)!
    const fleet = this.fleet(site, clusterFile[site], model, placement)
    return { fleet, router: () => new SwarmRouter(fleet), fillUpTo: null, initial, load }
  }

  /** Devices of the whole cluster with the rates that the instances of single kinds give for LLaMA 30B. */
  rates30b({ devices }: FlowInstance): FlowInstance['devices'] {
    return devices.map((device) => ({
      ...device,
      tokensPerSecondByLayers: this.instance(`single24_llama30b_${device.kind.toLowerCase()}`).instance
        .devices[0]!.tokensPerSecondByLayers,
    }))
  }

  private separatePart(
    site: HelixSite,
    model: HelixModel,
    kind: string,
    [initial, load]: readonly [number, number],
  ): Part {
    const { kinds: members } = this.cluster(site, kind)
    const layers = model === 'llama2_70b' ? 80 : 60
    const placement = separatePlacement(separateFirst[`${site}/${model}/${kind}`], members, layers)
    const fleet = this.fleet(site, kind, model, placement)
    return { fleet, router: () => new ChanceRouter(fleet, seededRandom(1)), fillUpTo: null, initial, load }
  }
}

/** One pipeline over all members, in their order or with the first layers given. */
function separatePlacement(
  firsts: readonly number[] | undefined,
  members: readonly string[],
  layers: number,
): FlowPlacement {
  if (firsts !== undefined) {
    return firsts.map((first) => ({
      first,
      end: Math.min(layers, ...firsts.filter((other) => other > first)),
    }))
  }
  const tokensPerSecondByLayers = new Array<number>(Math.ceil(layers / members.length)).fill(1)
  const devices = members.map((name) => ({ name, kind: name, tokensPerSecondByLayers }))
  return separatePipelines({ layers, devices, links: [] })!
}

/** Parts side by side: throughputs add up, latencies are one population. */
export function together(parts: readonly ServingResult[]): RowResult {
  const join = (pick: (part: ServingResult) => Float64Array) =>
    Float64Array.from(parts.flatMap((part) => [...pick(part)])).sort()
  return {
    decodeTokensPerSecond: parts.reduce((sum, part) => sum + part.decodeTokensPerSecond, 0),
    promptMs: join((part) => part.promptMs),
    decodeMs: join((part) => part.decodeMs),
    events: parts.reduce((sum, part) => sum + part.events, 0),
    kvPeak: Math.max(...parts.flatMap((part) => part.kvPeak)),
  }
}

/** p5, p25, p50, p75 and p95 in seconds. */
export function percentiles(ascendingMs: Float64Array): readonly number[] {
  return [0.05, 0.25, 0.5, 0.75, 0.95].map((share) => percentile(ascendingMs, share) / 1000)
}
