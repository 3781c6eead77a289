import { availableParallelism, homedir } from 'node:os'
import { join } from 'node:path'
import { parseTypes } from './engine/bench-types.ts'
import { measureEngine } from './engine/measure-engine.ts'
import { countFlag, runBench } from './run-bench.ts'

await runBench({
  name: 'engine',
  options: {
    model: { type: 'string' },
    threads: { type: 'string' },
    types: { type: 'string' },
    'cache-dir': { type: 'string' },
  },
  usage: `Prefill and decode speed beside llama.cpp on the same file, threads and context, in interleaved pairs.

  --model PATH     GGUF file or Hugging Face folder; default: random weights of a 0.35 B shape (0.12 B with --quick)
  --threads N      threads of each contender (default: cores of this machine)
  --types LIST     element types of the matrices (default F16,Q8_0,Q4_K)
  --cache-dir DIR  where models are kept for the next run (default ~/.deos/cache/bench)`,
  run: ({ quick, values, progress }) =>
    measureEngine({
      quick,
      progress,
      model: typeof values.model === 'string' ? values.model : null,
      threads: countFlag(values, 'threads', availableParallelism()),
      types: parseTypes(typeof values.types === 'string' ? values.types : 'F16,Q8_0,Q4_K'),
      cacheDir: String(values['cache-dir'] ?? join(homedir(), '.deos', 'cache', 'bench')),
    }),
})
