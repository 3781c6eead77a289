import { availableParallelism, homedir } from 'node:os'
import { join } from 'node:path'
import { measureKvBlocks } from './kv-blocks/measure-kv-blocks.ts'
import { countFlag, runBench } from './run-bench.ts'

await runBench({
  name: 'kv-blocks',
  options: {
    model: { type: 'string' },
    threads: { type: 'string' },
    'cache-dir': { type: 'string' },
  },
  usage: `What it costs to copy K and V of a prompt chunk out of a stage and into one, beside computing the chunk, and to
compute the chunk in groups of layers so that K and V of a group can leave before the next is computed.

  --model PATH     model (default: random F16 weights of a 0.35 B shape)
  --threads N      threads (default: cores of this machine)
  --cache-dir DIR  where models are kept for the next run (default ~/.deos/cache/bench)`,
  run: ({ quick, values, progress }) =>
    measureKvBlocks({
      quick,
      progress,
      model: typeof values.model === 'string' ? values.model : null,
      threads: countFlag(values, 'threads', availableParallelism()),
      cacheDir: String(values['cache-dir'] ?? join(homedir(), '.deos', 'cache', 'bench')),
    }),
})
