import { measureServing } from './plan/measure-serving.ts'
import { type Measured, measureTraining, type PlanMeasurement } from './plan/measure-training.ts'
import { measurePhases } from './plan/phase-figures.ts'
import { BenchUsageError, runBench } from './run-bench.ts'

const parts: Readonly<Record<string, (measurement: PlanMeasurement) => Measured>> = {
  training: measureTraining,
  serving: measureServing,
  phases: measurePhases,
}

await runBench({
  name: 'plan',
  options: { data: { type: 'string' }, only: { type: 'string' } },
  usage: `Plans for training: published cost models and planners beside ours, and training over four AWS regions.
Plans for serving: the flow of placements beside published ones and a proven bound, whole plans beside Helix in
simulation, other planners on random fleets, and how long planning takes.
Phases: prompts computed apart from answers on mixed fleets, with recorded requests, against computing both together.

  --data DIR   folder with "sailor" (profiles, networks and results of Sailor's artefact) and "helix" (clusters,
               profiles, workload, instances, published results); without it those figures are skipped
  --only PART  ${Object.keys(parts).join(' or ')}, not all`,
  run: async ({ quick, values, progress }) => {
    const only = values.only
    const chosen = Object.entries(parts).filter(([name]) => only === undefined || only === name)
    if (chosen.length === 0) {
      throw new BenchUsageError(
        `--only is "${String(only)}".`,
        `Give one of ${Object.keys(parts).join(', ')}.`,
      )
    }
    const measurement = {
      quick,
      progress,
      dataFolder: typeof values.data === 'string' ? values.data : null,
    }
    const measured = chosen.map(([name, measure]) => [name, measure(measurement)] as const)
    return {
      figures: measured.flatMap(([, { figures }]) => figures),
      raw: Object.assign({}, ...measured.map(([, { raw }]) => raw)),
    }
  },
})
