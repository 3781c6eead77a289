import { type ComputeFleet, planServing, replanServing } from '@deos/planner'
import type { Measured, PlanMeasurement } from './measure-training.ts'
import { chat, llama70b, mixedFleet, served } from './mixed-fleets.ts'
import { servingFigure } from './serving-figure.ts'

const machines = 100
const failures = { quick: 3, full: 10 }
const horizonS = 3600

/** A whole plan for 100 machines, of which one fails, each time another: time, and how good beside a plan from nothing. */
export function measureReplanning({ quick, progress }: PlanMeasurement): Measured {
  progress(`plans of ${machines} machines after a failure`)
  const fleet = mixedFleet(machines)
  const plan = (of: ComputeFleet) => served(planServing(llama70b, of, chat))
  const previous = plan(fleet)
  const used = [
    ...new Set(
      previous.replicas.flatMap(({ stages }) =>
        stages.flatMap(({ accelerators }) => accelerators.map((each) => each.machine)),
      ),
    ),
  ]
  const count = quick ? failures.quick : failures.full
  const rows = Array.from({ length: count }, (_, at) => {
    const failed = used[Math.floor((at * used.length) / count)]!
    const left = { ...fleet, machines: fleet.machines.filter(({ name }) => name !== failed) }
    const startedMs = performance.now()
    const { fresh, kept, migration } = replanServing(llama70b, left, chat, previous, { horizonS })
    const ms = performance.now() - startedMs
    const planStartedMs = performance.now()
    const anew = plan(left).predicted.requestsPerS
    const planMs = performance.now() - planStartedMs
    return {
      failed,
      ms,
      planMs,
      kept: kept?.predicted.requestsPerS ?? 0,
      mended: served(fresh).predicted.requestsPerS,
      anew,
      movedGiB: (migration?.sizeBytes ?? 0) / 2 ** 30,
    }
  })
  return {
    figures: [
      servingFigure(
        'speed.replanServing',
        'ms',
        'lower',
        rows.map(({ ms }) => ms),
        200,
      ),
      servingFigure(
        'speed.replanServing.vsPlanning',
        'ratio',
        'higher',
        rows.map(({ mended, anew }) => mended / anew),
      ),
    ],
    raw: { replanning: rows },
  }
}
