import { availableParallelism, homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { measureSplit } from './pd/measure-split.ts'
import { measureVolume } from './pd/measure-volume.ts'
import { runBench } from './run-bench.ts'

const dist = join(dirname(fileURLToPath(import.meta.url)), '..')

await runBench({
  name: 'pd',
  options: {
    model: { type: 'string' },
    data: { type: 'string' },
    'kv-report': { type: 'string' },
    'cache-dir': { type: 'string' },
  },
  usage: `Prompts computed by one ring and continued by another, far away: what of the transfer the user waits for, whether
the answer is that of one ring, and what travels twice when a link breaks. Then what crosses between regions when a
trace of real requests is served so, beside half-precision keys and values of every request.

  --model PATH     model of both rings (default: the embedded deos-7m)
  --data DIR       folder with "req-mooncake" (Mooncake's conversation trace); without it the volume is skipped
  --kv-report FILE what "deos bench kv --json" printed: how small blocks become (default: measured now, as with --quick)
  --cache-dir DIR  where weights are kept for the next run (default ~/.deos/cache/bench)`,
  run: async ({ quick, values, progress }) => {
    const text = (name: string): string | null => {
      const value = values[name]
      return typeof value === 'string' ? value : null
    }
    const models = join(dist, '..', 'models')
    const modelPath = text('model') ?? join(models, 'deos-7m')
    const cacheDir = text('cache-dir') ?? join(homedir(), '.deos', 'cache', 'bench')
    const volume = await measureVolume({
      ...{ modelPath, cacheDir, progress, dataFolder: text('data'), kvReport: text('kv-report') },
      textPath: join(models, 'held-out.txt'),
      otherTextPath: join(models, '..', 'docs', 'api.md'),
      threads: availableParallelism(),
    })
    const split = await measureSplit({
      ...{ quick, progress },
      wanEntry: join(dist, 'wan.mjs'),
      workerEntry: join(dist, 'worker.mjs'),
      gatewayEntry: join(dist, 'gateway.mjs'),
      ...{ modelPath, cacheDir },
    })
    return {
      figures: [...split.figures, ...volume.figures],
      raw: { split: split.raw, volume: volume.raw },
    }
  },
})
