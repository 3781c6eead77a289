import type { ModelShape } from '../../models/index.ts'
import { forecastStep, LayerCosts, type StepForecast } from '../../training/index.ts'
import { PlanInputError } from '../errors.ts'
import { type ComputeFleet, canonicalFleet, type FleetMachine, LinkLookup } from '../fleet.ts'
import { sizeOf } from '../group-degrees.ts'
import { type DeviceGroup, fleetOfGroups } from './device-groups.ts'
import { checkTrainingJob, type TrainingJob } from './job.ts'
import { workOf } from './training-candidates.ts'
import type { TrainingRunPlan } from './training-plan.ts'

/** Of a plan what is played: who holds which layers, and how they run. */
export type PlayableTraining = Pick<TrainingRunPlan, 'degrees' | 'microbatch' | 'options'> & {
  readonly stages: readonly Pick<TrainingRunPlan['stages'][number], 'layers' | 'replicas'>[]
}

/**
 * Plays one step of a plan again, on its fleet or on one whose links, accelerators or efficiencies have changed, for its
 * job or one with another batch.
 *
 * @throws PlanInputError that names the field, where plan, fleet and model do not belong together
 */
export function replayTraining(
  plan: PlayableTraining,
  {
    shape,
    fleet,
    job,
  }: { readonly shape: ModelShape; readonly fleet: ComputeFleet; readonly job: TrainingJob },
): StepForecast {
  checkTrainingJob(job)
  checkStages(plan, shape)
  const sorted = canonicalFleet(fleet)
  const machines = new Map(sorted.machines.map((machine) => [machine.name, machine]))
  const devices = new Map<string, number>()
  const groups: DeviceGroup['members'][] = []
  const stages = plan.stages.map(({ layers, replicas }, stage) => ({
    first: layers.first,
    end: layers.end,
    devices: replicas.map((members, replica) => {
      const path = `plan.stages[${stage}].replicas[${replica}]`
      if (members.length !== sizeOf(plan.degrees)) {
        throw new PlanInputError(
          path,
          members.length,
          `${sizeOf(plan.degrees)} accelerators, as its degrees say`,
        )
      }
      const key = JSON.stringify(members.map(({ machine, slot }) => [machine, slot]))
      const known = devices.get(key)
      if (known !== undefined) return known
      devices.set(key, groups.length)
      groups.push(
        members.map(({ machine, slot }) => ({ machine: machineOf(machines, path, machine, slot), slot })),
      )
      return groups.length - 1
    }),
  }))
  const work = workOf(shape, job, plan.microbatch)
  const grouped = fleetOfGroups(groups, sorted, new LinkLookup(sorted), work, plan.degrees, job.precision)
  return forecastStep(new LayerCosts(grouped.fleet, work), { stages, options: plan.options })
}

function machineOf(
  machines: ReadonlyMap<string, FleetMachine>,
  path: string,
  name: string,
  slot: number,
): FleetMachine {
  const machine = machines.get(name)
  if (machine === undefined) throw new PlanInputError(`${path}.machine`, name, 'a machine of the fleet')
  if (slot >= machine.accelerators) {
    throw new PlanInputError(`${path}.slot`, slot, `a slot below the ${machine.accelerators} of ${name}`)
  }
  return machine
}

function checkStages({ stages }: PlayableTraining, shape: ModelShape): void {
  let next = 0
  for (const [at, { layers, replicas }] of stages.entries()) {
    if (layers.first !== next || layers.end <= layers.first) {
      throw new PlanInputError(
        `plan.stages[${at}].layers`,
        `[${layers.first}, ${layers.end})`,
        `layers from ${next} on, at least one`,
      )
    }
    if (replicas.length === 0 || replicas.length !== stages[0]!.replicas.length) {
      throw new PlanInputError(
        `plan.stages[${at}].replicas`,
        replicas.length,
        'as many replicas as the first stage has, at least one',
      )
    }
    next = layers.end
  }
  if (next !== shape.layers) {
    throw new PlanInputError('plan.stages', `${next} layers`, `the ${shape.layers} layers of ${shape.name}`)
  }
}
