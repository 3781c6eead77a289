import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { madeUpModels, type NamedModel } from './calibrate/calibration-models.ts'
import { measureCalibration } from './calibrate/measure-calibration.ts'
import { BenchUsageError, runBench } from './run-bench.ts'

const dist = join(dirname(fileURLToPath(import.meta.url)), '..')
function namedModel(text: string): NamedModel {
  const [, name, path] = /^([\w.-]+)=(.+)$/.exec(text) ?? []
  if (name === undefined || path === undefined) {
    throw new BenchUsageError(`--model ${text} names no model.`, 'Give NAME=PATH.')
  }
  return { name, path }
}

await runBench({
  name: 'calibrate',
  options: { model: { type: 'string', multiple: true }, 'cache-dir': { type: 'string' } },
  usage: `What each worker of a ring takes for each kind of step; and whether the simulator, told only that, says what the ring
does: four workers whose engines imitate slower ones of unequal speeds, some milliseconds apart, under four loads.

  --model NAME=PATH  another model besides deos-7m and two of random weights; may be given again
  --cache-dir DIR    where weights are kept for the next run (default ~/.deos/cache/bench)`,
  run: async ({ quick, values, progress }) => {
    const cacheDir = String(values['cache-dir'] ?? join(homedir(), '.deos', 'cache', 'bench'))
    const given = Array.isArray(values.model) ? values.model.map(String) : []
    return measureCalibration({
      ...{ quick, progress, workerEntry: join(dist, 'worker.mjs'), wanEntry: join(dist, 'wan.mjs') },
      models: [
        { name: 'deos-7m', path: join(dist, '..', 'models', 'deos-7m'), paceScale: 0.7 },
        ...(await madeUpModels(cacheDir)),
        ...given.map(namedModel),
      ],
      cacheDir,
    })
  },
})
