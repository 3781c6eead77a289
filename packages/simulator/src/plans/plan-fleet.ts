import {
  type ComputeFleet,
  type FleetMachine,
  keyOfKind,
  kvBytesOf,
  LinkLookup,
  type ModelShape,
  type Role,
  type ServingWorkload,
  tensorOnly,
  UnitCosts,
  type UnitLayout,
  unitKind,
  type WeightPrecision,
} from '@deos/planner'
import { SimulationInputError } from '../errors.ts'
import { LayerTimes, type TimePoint } from '../serving/layer-times.ts'
import type { FleetLink, ServingFleet, StageMachine } from '../serving/serving-fleet.ts'
import type { ReplicaRoute } from './replica-router.ts'

/** Of a plan, what is played. */
export interface PlayedReplica {
  readonly role: Role
  readonly share: number
  readonly stages: readonly {
    readonly layers: { readonly first: number; readonly end: number }
    readonly accelerators: readonly { readonly machine: string }[]
    /** Without these, all accelerators divide matrices. */
    readonly tensorParallel?: number | undefined
    readonly expertParallel?: number | undefined
    readonly contextParallel?: number | undefined
    readonly offload?: { readonly share: number } | null | undefined
  }[]
}

export interface PlayedPlan {
  readonly precision: WeightPrecision
  readonly replicas: readonly PlayedReplica[]
  readonly handOver: { readonly addedMs: number } | null
}

export interface PlanSetting {
  readonly shape: ModelShape
  readonly fleet: ComputeFleet
  readonly workload: ServingWorkload
}

/** How stages batch. Without a chunk, up to four whole prompts join the steps of a pass. */
export interface BatchingPolicy {
  /** Tokens of a pass where prompts are computed in chunks beside decode steps. */
  readonly chunkTokens?: number
}

/** As engines do that hold steps up for no whole prompt: with four in a pass, eight stages serve little more than half. */
export const usualChunkTokens = 256

const promptsAtOnce = 4
/** Of the widest link to a pipeline that answers: what is narrower leads to one that is not near. */
const nearShare = 0.25
/** Where nothing but prompts is computed, no step waits for a chunk. */
const leastPrefillChunk = 2048
const activationBytesPerElement = 2
const tokenBytes = 4
/** Of what a role does not do. It cannot be nothing: a machine that takes no time has nothing to do. */
const negligibleMs = 1e-6

const mostLayers = (stages: PlayedReplica['stages']): number =>
  Math.max(...stages.map(({ layers }) => layers.end - layers.first))

/** Machines and links of the replicas, their routes, and who is in each stage's group. */
export function fleetOfPlan(
  plan: PlayedPlan,
  setting: PlanSetting,
  policy: BatchingPolicy = {},
): {
  readonly fleet: ServingFleet
  readonly routes: readonly ReplicaRoute[]
  readonly members: readonly (readonly string[])[]
} {
  const { shape } = setting
  const machines: StageMachine[] = []
  const members: (readonly string[])[] = []
  const links: FleetLink[] = []
  const builder = new StageBuilder(plan.precision, setting, policy)
  const placed = plan.replicas.map(({ stages, share, role }) => {
    const groups = stages.map(({ accelerators }) => builder.machinesOf(accelerators))
    const path = stages.map((stage, at) => {
      machines.push(builder.stage(groups[at]!, stage.layers, role, layoutOf(stage)))
      members.push(groups[at]!.map(({ name }) => name))
      return machines.length - 1
    })
    links.push({ from: 'source', to: path[0]!, bytesPerMs: Number.POSITIVE_INFINITY, latencyMs: 0 })
    for (const [at, index] of path.entries()) {
      const last = at === path.length - 1
      if (last && role === 'prefill') continue
      const next = last ? groups[0]! : groups[at + 1]!
      const { delayMs, bytesPerS } = builder.links.between(groups[at]![0]!, next[0]!)
      // A token goes back to the first stage, which alone begins the next step.
      const alone = path.length === 1
      const to = last ? 'sink' : path[at + 1]!
      const bytesPerMs = alone ? Number.POSITIVE_INFINITY : bytesPerS / 1000
      links.push({ from: index, to, bytesPerMs, latencyMs: alone ? 0 : delayMs })
    }
    return { route: { path, share, role }, groups, stages }
  })
  const bytesPerToken = kvBytesPerToken(setting)
  const routes = placed.map(({ route, groups, stages }): ReplicaRoute => {
    if (route.role !== 'prefill') return route
    const ways = placed.flatMap((to, at) => {
      if (to.route.role !== 'decode') return []
      return [{ at, to, rate: builder.links.between(groups.at(-1)![0]!, to.groups[0]![0]!) }]
    })
    // K and V go to the nearest that answer.
    const widest = Math.max(...ways.map(({ rate }) => rate.bytesPerS))
    const near = ways.filter(({ rate }) => rate.bytesPerS >= widest * nearShare)
    // Every stage sends what its layers have, to the stages that hold these; the one with the most is the last to be done.
    const most = mostLayers(stages)
    for (const { to, rate } of near) {
      const handsOver = {
        bytesPerToken: (bytesPerToken * most) / shape.layers,
        takenBytesPerToken: (bytesPerToken * mostLayers(to.stages)) / shape.layers,
        layers: most,
      }
      links.push({
        from: route.path.at(-1)!,
        to: to.route.path[0]!,
        bytesPerMs: rate.bytesPerS / 1000,
        latencyMs: rate.delayMs,
        handsOver,
      })
    }
    return { ...route, handsTo: near.map(({ at }) => at) }
  })
  const activationBytes = shape.hiddenSize * activationBytesPerElement
  const batching = policy.chunkTokens === undefined ? 'mixed' : 'chunked'
  const fleet = { layers: shape.layers, machines, links, activationBytes, tokenBytes, batching } as const
  return { fleet, routes, members }
}

function layoutOf(stage: PlayedReplica['stages'][number]): UnitLayout {
  const { accelerators, expertParallel = 1, contextParallel = 1, offload } = stage
  const tensor = stage.tensorParallel ?? accelerators.length / expertParallel / contextParallel
  return { tensor, expert: expertParallel, context: contextParallel, offload: offload?.share ?? 0 }
}

/** On the wire, of a prompt of mean length. */
function kvBytesPerToken({ shape, workload }: PlanSetting): number {
  const tokens = workload.promptTokens.mean
  return kvBytesOf(shape, tokens, workload.kvBytesPerElement) / (workload.kvCompression ?? 1) / tokens
}

/** Stages of a fleet, ready to be played. */
export class StageBuilder {
  readonly links: LinkLookup
  readonly #byName: ReadonlyMap<string, FleetMachine>
  readonly #costs = new Map<string, UnitCosts>()
  readonly #layerMs = new Map<string, readonly number[]>()

  constructor(
    private readonly precision: WeightPrecision,
    private readonly setting: PlanSetting,
    private readonly policy: BatchingPolicy = {},
  ) {
    this.links = new LinkLookup(setting.fleet)
    this.#byName = new Map(setting.fleet.machines.map((machine) => [machine.name, machine]))
  }

  machinesOf(accelerators: PlayedReplica['stages'][number]['accelerators']): readonly FleetMachine[] {
    return accelerators.map(({ machine }) => {
      const found = this.#byName.get(machine)
      if (found === undefined) throw new SimulationInputError('plan', machine, 'machines that the fleet has')
      return found
    })
  }

  stage(
    group: readonly FleetMachine[],
    layers: { readonly first: number; readonly end: number },
    role: Role,
    layout = tensorOnly(group.length),
  ): StageMachine {
    const { workload } = this.setting
    const { costs, key } = this.#known(group, layout)
    const count = layers.end - layers.first
    const partMs = (phase: 'prefill' | 'decode', size: number) => {
      const all = this.#layers(costs, key, phase, size)
      let sum = 0
      for (let layer = layers.first; layer < layers.end; layer += 1) sum += all[layer]!
      return sum / count
    }
    const promptTokens = workload.contextTokens * promptsAtOnce
    const prompt = promptSizes(promptTokens).map(
      (tokens): TimePoint => [
        tokens,
        role === 'decode' ? tokens * negligibleMs : tokens === 0 ? 0 : partMs('prefill', tokens),
      ],
    )
    const decode = costs.batches.map(
      (batch): TimePoint => [
        batch,
        // A batch of one is charged double by the table, after Helix.
        role === 'prefill' ? batch * negligibleMs : partMs('decode', batch) / (batch === 1 ? 2 : 1),
      ],
    )
    const mean = workload.promptTokens.mean + workload.outputTokens.mean
    const free = costs.roomBytes - costs.weightBytes(layers)
    const most = Math.max(2, workload.maxBatch)
    return {
      name: group[0]!.name,
      layers,
      times: new LayerTimes({ prompt, decode: [[0, 0], ...decode] }, { promptTokens, decodeTokens: most }),
      kvTokens: Math.max(1, Math.floor((free * mean) / costs.kvBytesPerSequence(layers))),
      limits: {
        promptRequests: promptsAtOnce,
        promptTokens: this.#passTokens(role) ?? promptTokens,
        decodeRequests: most,
        decodeContext: Number.POSITIVE_INFINITY,
      },
      inputMsPerToken: 0,
    }
  }

  /** Prompts come to a decode stage computed. */
  #passTokens(role: Role): number | null {
    const { chunkTokens } = this.policy
    if (chunkTokens === undefined || role === 'decode') return null
    return role === 'prefill' ? Math.max(leastPrefillChunk, chunkTokens) : chunkTokens
  }

  costsOf(group: readonly FleetMachine[]): UnitCosts {
    return this.#known(group, tensorOnly(group.length)).costs
  }

  #known(
    group: readonly FleetMachine[],
    layout: UnitLayout,
  ): { readonly costs: UnitCosts; readonly key: string } {
    const { shape, fleet, workload } = this.setting
    const kind = unitKind(
      group.map((machine) => ({ machine })),
      this.links,
      layout,
    )
    const key = keyOfKind(kind)
    const known = this.#costs.get(key)
    if (known !== undefined) return { costs: known, key }
    const costs = new UnitCosts(shape, kind, this.precision, workload, fleet.efficiency)
    this.#costs.set(key, costs)
    return { costs, key }
  }

  #layers(costs: UnitCosts, kind: string, phase: 'prefill' | 'decode', size: number): readonly number[] {
    const key = `${kind}|${phase}|${size}`
    const known = this.#layerMs.get(key)
    if (known !== undefined) return known
    const made = costs.layerMs(phase === 'prefill' ? costs.prefillPhase(size) : costs.decodePhase(size))
    this.#layerMs.set(key, made)
    return made
  }
}

function promptSizes(most: number): readonly number[] {
  const sizes = [0, 1]
  for (let size = 64; size < most; size *= 2) sizes.push(size)
  return [...sizes, most]
}
