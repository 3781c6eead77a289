import { availableParallelism, homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseTypes } from './engine/bench-types.ts'
import { BenchUsageError, countFlag, runBench } from './run-bench.ts'
import type { LlamaKv } from './serve/llama-server.ts'
import { measureServe } from './serve/measure-serve.ts'

await runBench({
  name: 'serve',
  options: {
    'llama-server': { type: 'string' },
    'llama-kv': { type: 'string' },
    model: { type: 'string' },
    type: { type: 'string' },
    threads: { type: 'string' },
    rounds: { type: 'string' },
    'cache-dir': { type: 'string' },
  },
  usage: `Tokens/s and latencies of streamed completions under closed- and open-loop load, beside llama.cpp's server and
beside DeOS without prefix cache or chunked prefill; all on the same file, threads, KV type and requests, in turn.

  --llama-server PATH  llama.cpp's server (default: DEOS_LLAMA_SERVER; without it those figures are skipped)
  --llama-kv KIND      its KV memory: separate for each slot (its default), or unified
  --model PATH         GGUF file (default: random weights of a 135 M shape; a 15 M shape with --quick)
  --type TYPE          element type of the random weights (default Q8_0)
  --threads N          threads of each server (default: cores of this machine)
  --rounds N           rounds of each scenario (default 3; 2 with --quick)
  --cache-dir DIR      where models and logs are kept (default ~/.deos/cache/bench)`,
  run: ({ quick, values, progress }) =>
    measureServe({
      quick,
      progress,
      model: typeof values.model === 'string' ? values.model : null,
      type: parseTypes(typeof values.type === 'string' ? values.type : 'Q8_0')[0]!,
      threads: countFlag(values, 'threads', availableParallelism()),
      rounds: values.rounds === undefined ? null : countFlag(values, 'rounds', 1),
      llamaServer:
        typeof values['llama-server'] === 'string'
          ? values['llama-server']
          : process.env.DEOS_LLAMA_SERVER || null,
      llamaKv: parseKv(values['llama-kv'] ?? 'separate'),
      deosEntry: join(dirname(fileURLToPath(import.meta.url)), '..', 'deos.mjs'),
      cacheDir: String(values['cache-dir'] ?? join(homedir(), '.deos', 'cache', 'bench')),
    }),
})

function parseKv(kind: unknown): LlamaKv {
  if (kind === 'separate' || kind === 'unified') return kind
  throw new BenchUsageError(`--llama-kv is separate or unified, not "${String(kind)}".`, 'Leave it out.')
}
