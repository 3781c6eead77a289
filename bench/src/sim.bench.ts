import { join } from 'node:path'
import { BenchUsageError, runBench } from './run-bench.ts'
import { measureSim } from './sim/measure-sim.ts'

await runBench({
  name: 'sim',
  options: { data: { type: 'string' } },
  usage: `Speed of the simulator, and its error against what Helix's authors published: their simulator and their
prototype on real machines, row by row; iterations of training plans that Sailor's authors ran, beside other models. And
the error of the planner's costs against measured prompts and tokens (Splitwise's profiles), efficiencies fitted to half
of their shapes and the others predicted.

  --data DIR   folder with helix/ (clusters, profiles, workload, instances, published_results.csv), sailor/ and
               serving-profiles/splitwise/perf_model.csv`,
  run: async ({ quick, values, progress }) => {
    if (typeof values.data !== 'string') {
      throw new BenchUsageError(
        'The published data is not part of the repository.',
        'Name its folder with --data.',
      )
    }
    const dataFolder = values.data
    return measureSim({
      ...{ quick, progress, dataFolder },
      helixFolder: join(dataFolder, 'helix'),
      profilesFolder: join(dataFolder, 'serving-profiles'),
    })
  },
})
