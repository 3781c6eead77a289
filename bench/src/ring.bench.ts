import { availableParallelism, homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { measureRing } from './ring/measure-ring.ts'
import { countFlag, runBench } from './run-bench.ts'

await runBench({
  name: 'ring',
  options: {
    workers: { type: 'string' },
    model: { type: 'string' },
    'cache-dir': { type: 'string' },
  },
  usage: `Tokens/s of a ring of worker processes on loopback beside the same engine in one process with as many threads,
the cost of a hop beyond the engine's own time, and the memory of a worker beyond its layers and KV budget.

  --workers N      workers with one thread each (default: cores of this machine, at least 2)
  --model PATH     model for the throughput (default: random F16 and Q8_0 weights of a 0.35 B shape)
  --cache-dir DIR  where models are kept for the next run (default ~/.deos/cache/bench)`,
  run: ({ quick, values, progress }) =>
    measureRing({
      quick,
      progress,
      workers: countFlag(values, 'workers', Math.max(2, availableParallelism())),
      model: typeof values.model === 'string' ? values.model : null,
      cacheDir: String(values['cache-dir'] ?? join(homedir(), '.deos', 'cache', 'bench')),
      workerEntry: join(dirname(fileURLToPath(import.meta.url)), '..', 'worker.mjs'),
    }),
})
