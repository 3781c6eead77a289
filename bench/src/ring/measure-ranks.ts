import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type StageSplit, unsplit } from '@deos/engine'
import { syntheticShapes, writeSyntheticModel } from '@deos/engine/testing'
import { openModel } from '@deos/engine/weights'
import { type Figure, measuredFigure } from '../contract.ts'
import { measurePairs } from '../pairs.ts'
import { LocalRing } from './local-ring.ts'
import { greedy, promptsOf } from './workload.ts'

export interface RanksBenchOptions {
  readonly quick: boolean
  readonly cacheDir: string
  readonly workerEntry: string
  progress(line: string): void
}

const PROMPT_TOKENS = 256
const TOKENS_PER_SESSION = 512

/** Splits beside one worker with one thread; each rank has one thread too. */
const splits: Readonly<Record<string, StageSplit>> = {
  tensor2: { ...unsplit, tensor: 2 },
  context2: { ...unsplit, context: 2 },
}

/** How fast a model is that two worker processes compute together, beside one process, both on this machine. */
export async function measureRanks(options: RanksBenchOptions) {
  const modelPath = join(options.cacheDir, 'synthetic-350m-f16.gguf')
  if (!existsSync(modelPath)) {
    options.progress(`writing ${modelPath}`)
    await writeSyntheticModel({ path: modelPath, type: 'F16', shape: syntheticShapes['350m'] })
  }
  const { config } = await openModel(modelPath, { vocabulary: false })
  const kvBytesPerWorker = 4 * config.kvHeads * config.headDim * config.layers * 2 * TOKENS_PER_SESSION
  const start = (split: StageSplit) =>
    LocalRing.start({
      ...{ modelPath, split, kvBytesPerWorker, workerEntry: options.workerEntry, cacheDir: options.cacheDir },
      ...{ layers: [{ first: 0, end: config.layers }], threadsPerWorker: 1, microbatches: 1 },
      ...{ sessions: 1, tokensPerSession: TOKENS_PER_SESSION },
    })
  const [prompt] = promptsOf(config.vocabSize, 1, PROMPT_TOKENS)
  const decode = async (ring: LocalRing) => {
    const tokens = options.quick ? 8 : 24
    const { arrivalsMs } = await ring.generate(prompt!.slice(0, 16), tokens, greedy)
    return (1000 * (tokens - 1)) / (arrivalsMs.at(-1)! - arrivalsMs[0]!)
  }
  const prefill = async (ring: LocalRing) => {
    const { arrivalsMs } = await ring.generate(prompt!, 1, greedy)
    return (1000 * PROMPT_TOKENS) / arrivalsMs[0]!
  }
  const figures: Figure[] = []
  const raw: Record<string, unknown> = { modelPath }
  const one = await start(unsplit)
  try {
    for (const [name, split] of Object.entries(splits)) {
      const ranks = await start(split)
      try {
        for (const [what, rate] of Object.entries({ decode, prefill })) {
          const pairs = await measurePairs({
            n: options.quick ? 2 : 7,
            a: () => rate(ranks),
            b: () => rate(one),
          })
          raw[`${name}.${what}`] = { unit: 'tokens/s', ranks: pairs.a, one: pairs.b }
          const id = `ranks.${name}.${what}.vsOneProcess`
          figures.push(measuredFigure({ id, unit: 'ratio', better: 'higher', samples: pairs.ratios }))
          options.progress(`${name}, ${what}: ${pairs.medianRatio.toFixed(2)} of one process`)
        }
      } finally {
        await ranks.stop()
      }
    }
  } finally {
    await one.stop()
  }
  return { figures, raw }
}
