import { planServing } from '@deos/planner'
import { judgingBy } from '@deos/simulator'
import type { Measured, PlanMeasurement } from './measure-training.ts'
import { chat, llama70b, mixedFleet, served } from './mixed-fleets.ts'
import { servingFigure } from './serving-figure.ts'

const sizes = [
  { machines: 64, bar: 2 },
  { machines: 1000, bar: 30 },
]
const repeats = { quick: 1, full: 3 }

/** Whole plans of which the best are played, as `deos plan serve` makes them: how long, and what they serve. */
export function measurePlans({ quick, progress }: PlanMeasurement): Measured {
  const plans = sizes.map(({ machines, bar }) => {
    progress(`whole plans for ${machines} machines`)
    const fleet = mixedFleet(machines)
    const setting = { shape: llama70b, fleet, workload: chat }
    const rows = Array.from({ length: quick ? repeats.quick : repeats.full }, () => {
      const startedMs = performance.now()
      const plan = served(planServing(llama70b, fleet, chat, judgingBy(setting, { seed: 1 })))
      return { seconds: (performance.now() - startedMs) / 1000, plan }
    })
    const { predicted, simulated } = rows[0]!.plan
    const seconds = rows.map((row) => row.seconds)
    return {
      machines,
      bar,
      seconds,
      predictedPerS: predicted.requestsPerS,
      servedPerS: simulated!.requestsPerS,
    }
  })
  return {
    figures: plans.flatMap(({ machines, bar, seconds, predictedPerS, servedPerS }) => [
      servingFigure(`speed.planServing.${machines}machines`, 's', 'lower', seconds, bar),
      servingFigure(`speed.planServing.${machines}machines.servedVsPredicted`, 'ratio', 'higher', [
        servedPerS / predictedPerS,
      ]),
    ]),
    raw: { plans },
  }
}
