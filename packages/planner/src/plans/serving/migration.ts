import type { ModelShape } from '../../models/index.ts'
import { type ComputeFleet, type FleetMachine, LinkLookup } from '../fleet.ts'
import type { ServingPlan } from './serving-plan.ts'
import { UnitCosts } from './unit-costs.ts'
import type { ServingWorkload } from './workload.ts'

/** What changing from one plan to another moves. */
export interface Migration {
  /** Weights that machines do not hold yet. */
  readonly sizeBytes: number
  /** Until the last machine has its weights, each fetching from the nearest that holds them. */
  readonly seconds: number
  readonly machines: readonly {
    readonly machine: string
    readonly sizeBytes: number
    readonly seconds: number
  }[]
  /** Layers that nobody holds any more come from outside, over the link between regions. */
  readonly fromOutsideBytes: number
}

/** Which machine gets which layers anew, and from where. Machines are counted as wholes: parts of matrices move inside. */
export function migrationOf(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  before: ServingPlan,
  after: ServingPlan,
): Migration {
  const links = new LinkLookup(fleet)
  const machines = new Map(fleet.machines.map((machine) => [machine.name, machine]))
  const samePrecision = before.precision === after.precision
  const held = samePrecision ? layersByMachine(before) : new Map<string, ReadonlySet<number>>()
  const holders = new Map<number, FleetMachine[]>()
  for (const [name, layers] of held) {
    const machine = machines.get(name)
    if (machine === undefined) continue
    for (const layer of layers) holders.set(layer, [...(holders.get(layer) ?? []), machine])
  }
  const { accelerator, inside } = fleet.machines[0]!
  const kind = { accelerator, tensorParallel: 1, link: inside }
  const costs = new UnitCosts(shape, kind, after.precision, workload, fleet.efficiency)
  let fromOutsideBytes = 0
  const moved = [...layersByMachine(after)].flatMap(([name, layers]) => {
    const own = held.get(name)
    const machine = machines.get(name)!
    let sizeBytes = 0
    let seconds = 0
    for (const layer of layers) {
      if (own?.has(layer)) continue
      const layerBytes = costs.weightBytes({ first: layer, end: layer + 1 })
      const sources = (holders.get(layer) ?? []).map((source) => links.between(source, machine).bytesPerS)
      if (sources.length === 0) fromOutsideBytes += layerBytes
      const bytesPerS = sources.length === 0 ? fleet.links.elsewhere.bytesPerS : Math.max(...sources)
      sizeBytes += layerBytes
      seconds += layerBytes / bytesPerS
    }
    return sizeBytes === 0 ? [] : [{ machine: name, sizeBytes, seconds }]
  })
  return {
    sizeBytes: moved.reduce((sum, each) => sum + each.sizeBytes, 0),
    seconds: moved.reduce((most, each) => Math.max(most, each.seconds), 0),
    machines: moved,
    fromOutsideBytes,
  }
}

function layersByMachine({ replicas }: ServingPlan): Map<string, Set<number>> {
  const held = new Map<string, Set<number>>()
  for (const { layers, accelerators } of replicas.flatMap(({ stages }) => stages)) {
    for (const { machine } of accelerators) {
      const own = held.get(machine) ?? new Set<number>()
      for (let layer = layers.first; layer < layers.end; layer += 1) own.add(layer)
      held.set(machine, own)
    }
  }
  return held
}
