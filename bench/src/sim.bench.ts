import { join } from 'node:path'
import { BenchUsageError, runBench } from './run-bench.ts'
import { measureSim } from './sim/measure-sim.ts'

await runBench({
  name: 'sim',
  options: { data: { type: 'string' } },
  usage: `Speed of the simulator, and its error against what Helix's authors published: their simulator and their
prototype on real machines, row by row; iterations of training plans that Sailor's authors ran, beside other models.

  --data DIR   folder with helix/ (clusters, profiles, workload, instances, published_results.csv) and sailor/`,
  run: async ({ quick, values, progress }) => {
    if (typeof values.data !== 'string') {
      throw new BenchUsageError(
        'The published data is not part of the repository.',
        'Name its folder with --data.',
      )
    }
    const dataFolder = values.data
    return measureSim({ quick, progress, dataFolder, helixFolder: join(dataFolder, 'helix') })
  },
})
