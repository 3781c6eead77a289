import { seededRandom } from '@deos/domain'
import type { ServingChoice } from './choices.ts'
import { improvePartition, type Partition, partitionOf, partitionUnits, roominess } from './partition.ts'
import type { Remains } from './remains.ts'
import type { ServingPlan } from './serving-plan.ts'
import type { Unit } from './units.ts'

export interface Mending {
  readonly seed: number
  /** Changes that are tried on what is left of the plan, and on the best new division. */
  readonly steps: number
  readonly shouldStop?: () => boolean
}

/** By so much a new division has to be better than the mended one, for it moves more weights. */
const worthMoving = 0.01

/**
 * Mends a plan: whole replicas stay, the others are closed up or divided anew with what is idle, and local search goes on
 * from there; beside it one new division of everything. Costs of units and groups are shared by all of it.
 *
 * @returns null if neither serves the workload
 */
export function mendedChoice(
  { forms, kept, broken, idle }: Remains,
  { precision }: ServingPlan,
  { seed, steps, shouldStop }: Mending,
): ServingChoice | null {
  const whole = kept.map(({ group }) => group)
  const loose = [...broken.flat(), ...idle]
  const closed = broken.map((units) => forms.group(units, 'together'))
  const closedUp = partitionOf(
    [...whole, ...closed.filter((group) => group !== null)],
    [...broken.flatMap((units, at) => (closed[at] === null ? units : [])), ...idle],
    forms,
  )
  const mended = [closedUp, ...(loose.length === 0 ? [] : anew(loose)).map(withWhole)]
  const units = [...whole.flatMap((group) => group.units), ...loose]
  const improved = [bestOf(mended), bestOf(anew(units))].map((partition) =>
    shouldStop?.() === true ? partition : improvePartition(partition, forms, steps, seededRandom(seed)),
  )
  const [near, far] = [improved[0]!, improved[1]!]
  const { score } = near.assignment
  const { assignment } =
    far.assignment.score > score + Math.abs(score) * (near.assignment.feasible ? worthMoving : 0) ? far : near
  if (!assignment.feasible) return null
  const used = assignment.assigned.flatMap(({ group }) => group.units)
  const tensorParallel = Math.max(...used.map(({ kind }) => kind.tensorParallel))
  const acrossMachines = used.some(({ members }) =>
    members.some((each) => each.machine !== members[0]!.machine),
  )
  return {
    precision,
    tensorParallel,
    acrossMachines,
    roles: 'together',
    assignment,
    handOver: null,
    forms,
    units,
  }

  function anew(all: readonly Unit[]): readonly Partition[] {
    return [false, true].flatMap((mixed) =>
      roominess.map((roomy) => partitionUnits(all, forms, roomy, mixed)),
    )
  }

  function withWhole({ groups, spare }: Partition): Partition {
    return partitionOf([...whole, ...groups], spare, forms)
  }
}

const bestOf = (partitions: readonly Partition[]): Partition =>
  partitions.reduce((best, each) => (each.assignment.score > best.assignment.score ? each : best))
