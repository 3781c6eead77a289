import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { measureSplit } from './pd/measure-split.ts'
import { runBench } from './run-bench.ts'

const dist = join(dirname(fileURLToPath(import.meta.url)), '..')

await runBench({
  name: 'pd',
  options: {
    model: { type: 'string' },
    'cache-dir': { type: 'string' },
  },
  usage: `Prompts computed by one ring and continued by another, far away: what of the transfer the user waits for, whether
the answer is that of one ring, and what travels twice when a link breaks.

  --model PATH     model of both rings (default: the embedded deos-7m)
  --cache-dir DIR  where weights are kept for the next run (default ~/.deos/cache/bench)`,
  run: async ({ quick, values, progress }) => {
    const split = await measureSplit({
      ...{ quick, progress },
      wanEntry: join(dist, 'wan.mjs'),
      workerEntry: join(dist, 'worker.mjs'),
      gatewayEntry: join(dist, 'gateway.mjs'),
      modelPath: typeof values.model === 'string' ? values.model : join(dist, '..', 'models', 'deos-7m'),
      cacheDir: String(values['cache-dir'] ?? join(homedir(), '.deos', 'cache', 'bench')),
    })
    return { figures: split.figures, raw: { split: split.raw } }
  },
})
