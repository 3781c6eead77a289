import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { measureRanks } from './ring/measure-ranks.ts'
import { runBench } from './run-bench.ts'

await runBench({
  name: 'ranks',
  options: { 'cache-dir': { type: 'string' } },
  usage: `Tokens/s of one stage that two worker processes of one thread each compute together, its tensors or its positions
divided, beside one process of one thread.

  --cache-dir DIR  where models are kept for the next run (default ~/.deos/cache/bench)`,
  run: ({ quick, values, progress }) =>
    measureRanks({
      quick,
      progress,
      cacheDir: String(values['cache-dir'] ?? join(homedir(), '.deos', 'cache', 'bench')),
      workerEntry: join(dirname(fileURLToPath(import.meta.url)), '..', 'worker.mjs'),
    }),
})
