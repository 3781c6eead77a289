import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BenchUsageError, countFlag, runBench } from './run-bench.ts'
import { measureSoak } from './soak/measure-soak.ts'

const here = dirname(fileURLToPath(import.meta.url))
const FULL_MINUTES = 30
const QUICK_MINUTES = 0.75

await runBench({
  name: 'soak',
  options: {
    minutes: { type: 'string' },
    clients: { type: 'string' },
    seed: { type: 'string' },
    'cache-dir': { type: 'string' },
  },
  usage: `Random requests, cancels and memory pressure against the embedded model: does anything leak, stick or come wrong?

  --minutes N      how long (default ${FULL_MINUTES}; ${QUICK_MINUTES} with --quick)
  --clients N      requests under way at once (default 24)
  --seed N         draws other requests (default 1)
  --cache-dir DIR  where the log is kept (default ~/.deos/cache/bench)`,
  run: ({ quick, values, progress }) =>
    measureSoak({
      deosEntry: join(here, '..', 'deos.mjs'),
      textPath: join(here, '..', '..', 'models', 'held-out.txt'),
      cacheDir: String(values['cache-dir'] ?? join(homedir(), '.deos', 'cache', 'bench')),
      minutes: minutes(values.minutes, quick),
      clients: countFlag(values, 'clients', 24),
      seed: countFlag(values, 'seed', 1),
      progress,
    }),
})

function minutes(given: unknown, quick: boolean): number {
  if (given === undefined) return quick ? QUICK_MINUTES : FULL_MINUTES
  const value = Number(given)
  if (value > 0 && value <= 24 * 60) return value
  throw new BenchUsageError(`--minutes is ${String(given)}; it must be above 0 and at most 1440.`, 'Try 30.')
}
