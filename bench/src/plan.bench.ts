import { measureTraining } from './plan/measure-training.ts'
import { runBench } from './run-bench.ts'

await runBench({
  name: 'plan',
  options: { data: { type: 'string' } },
  usage: `Plans for training: published cost models and planners beside ours, and training over four AWS regions.

  --data DIR   folder with "sailor" (profiles, networks and results of Sailor's artefact); without it those figures
               are skipped`,
  run: async ({ quick, values, progress }) =>
    measureTraining({ quick, progress, dataFolder: typeof values.data === 'string' ? values.data : null }),
})
