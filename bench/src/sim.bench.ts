import { join } from 'node:path'
import { BenchUsageError, runBench } from './run-bench.ts'
import { measureSim } from './sim/measure-sim.ts'

await runBench({
  name: 'sim',
  options: { data: { type: 'string' } },
  usage: `Speed of the simulator, and its error against what Helix's authors published: their simulator and their
prototype on real machines, row by row. And the error of the planner's costs against measured prompts and tokens
(Splitwise's profiles), efficiencies fitted to half of their shapes and the others predicted.

  --data DIR   folder with helix/ (clusters, profiles, workload, instances, published_results.csv) and
               serving-profiles/splitwise/perf_model.csv`,
  run: async ({ quick, values, progress }) => {
    if (typeof values.data !== 'string') {
      throw new BenchUsageError(
        'The published data is not part of the repository.',
        'Name its folder with --data.',
      )
    }
    return measureSim({
      ...{ quick, progress },
      helixFolder: join(values.data, 'helix'),
      profilesFolder: join(values.data, 'serving-profiles'),
    })
  },
})
