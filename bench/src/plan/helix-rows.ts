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
  type ClosedWorkload,
  FlowRouter,
  type FlowRouterOptions,
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
import {
  clusterFile,
  clusterFolder,
  forcedKv,
  type HelixRow,
  type HelixSite,
  helixAdmission,
  type Load,
  loads,
  machineKinds,
  prototypeLimits,
  prototypeOverheads,
  prototypeSettings,
  type Seconds,
  type ServingMode,
  seconds,
  separateFirst,
} from './helix-settings.ts'
import { HelixTrace } from './helix-workload.ts'

export type RunKind = 'simulation' | 'prototype'

/**
 * The authors' simulator lets a machine take its next batch behind everything else that happens at the same moment; no
 * time passes. Their equal machines run in step, so that much does: taken the other way round, four A100 in a row come
 * out 13% faster.
 */
const simultaneousMs = 1e-6

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
  /** Offline. */
  readonly refill: ClosedWorkload['refill']
  /** Offline: requests at once. Online: tokens/s that arrive. Both as in the authors' scripts. */
  readonly initial: number
  readonly load: number
}

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

  fleet(
    site: HelixSite,
    part: string,
    model: HelixModel,
    placement: FlowPlacement,
    run: RunKind,
  ): ServingFleet {
    const kv = forcedKv[site]
    return stageFleet(this.cluster(site, part), this.profiles, model, placement, {
      kvTokens: (kind, layers) =>
        layers > this.profiles[`${model}/${kind}`]!.max_layers ? kv[`${kind}/${layers}`] : undefined,
      ...(run === 'prototype'
        ? { limits: prototypeLimits, batching: 'promptsFirst', overheads: prototypeOverheads }
        : {}),
    })
  }

  /** The row as the authors simulated it, or as they ran it on machines. */
  run(row: HelixRow, seed: number, kind: RunKind = 'simulation', window?: Seconds): RowResult {
    const settings = kind === 'prototype' ? prototypeSettings(row) : null
    const given = loads[row.site][row.model][row.method]
    const parts = this.parts(row, settings === null ? given : given.map(settings.load), kind)
    const gatherMs = kind === 'prototype' ? 0 : simultaneousMs
    return together(
      parts.map((part) => this.runPart(part, row.mode, seed, window ?? settings?.window, gatherMs)),
    )
  }

  runPart(
    part: Part,
    mode: ServingMode,
    seed: number,
    { from, to }: Seconds = seconds[mode],
    gatherMs = simultaneousMs,
  ): ServingResult {
    const workload =
      mode === 'online'
        ? this.trace.open(seed, part.load, to * 1000)
        : this.trace.closed(seed, part.initial, part.refill)
    return simulateServing({
      fleet: part.fleet,
      router: part.router(mode),
      workload,
      window: { fromMs: from * 1000, toMs: to * 1000 },
      gatherMs,
    })
  }

  /** A part routed by the flow of its placement, as Helix does. */
  flowPart(
    fleet: ServingFleet,
    instance: FlowInstance,
    placement: FlowPlacement,
    [initial, load]: Load,
    admission = helixAdmission,
    next: FlowRouterOptions['next'] = 'leastAfter',
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
        next,
      })
    return { fleet, router, refill: admission.refill, initial, load }
  }

  private parts({ site, model, method }: HelixRow, given: readonly Load[], run: RunKind): readonly Part[] {
    if (method === 'Swarm') return [this.swarmPart(site, model, given[0]!, run)]
    if (method === 'Helix' && model === 'llama2_70b') {
      const { instance, published } = this.instance(`${site}_llama70b`)
      const { placement } = published.find((each) => each.method === 'helix')!
      const fleet = this.fleet(site, clusterFile[site], model, placement, run)
      return [this.flowPart(fleet, instance, placement, given[0]!)]
    }
    if (method === 'Helix') {
      return machineKinds.map((kind, at) => {
        const name = kind === 'l4' ? 'single24_llama30b_l4' : `${site}_llama30b_${kind}`
        const { instance, published } = this.instance(name)
        const { placement } = published[0]!
        return this.flowPart(this.fleet(site, kind, model, placement, run), instance, placement, given[at]!)
      })
    }
    return machineKinds.map((kind, at) => this.separatePart(site, model, kind, given[at]!, run))
  }

  private swarmPart(site: HelixSite, model: HelixModel, [initial, load]: Load, run: RunKind): Part {
    const { instance, published } = this.instance(`${site}_llama70b`)
    const placement =
      model === 'llama2_70b'
        ? published.find((each) => each.method === 'swarm')!.placement
        : swarmStages({ ...instance, layers: 60, devices: this.rates30b(instance) }, 6)!
    const fleet = this.fleet(site, clusterFile[site], model, placement, run)
    return { fleet, router: () => new SwarmRouter(fleet), refill: { by: 'replace' }, initial, load }
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
    [initial, load]: Load,
    run: RunKind,
  ): Part {
    const { kinds: members } = this.cluster(site, kind)
    const layers = model === 'llama2_70b' ? 80 : 60
    const placement = separatePlacement(separateFirst[`${site}/${model}/${kind}`], members, layers)
    const fleet = this.fleet(site, kind, model, placement, run)
    return {
      fleet,
      router: () => new ChanceRouter(fleet, seededRandom(1)),
      refill: { by: 'replace' },
      initial,
      load,
    }
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
