import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { writeSyntheticModel } from '@deos/engine/testing'

export interface NamedModel {
  readonly name: string
  readonly path: string
  /** How much slower than the usual pace its engines are; default 1. */
  readonly paceScale?: number
}

/** Random weights compute as trained ones do: one model of many thin layers, one of few wide ones in eight bits. */
const madeUp = [
  {
    name: 'deep',
    paceScale: 1.4,
    type: 'F16',
    shape: {
      ...{ layers: 16, hiddenSize: 192, feedForwardSize: 512 },
      ...{ heads: 6, kvHeads: 2, headDim: 32, vocabSize: 4096 },
    },
  },
  {
    name: 'wide',
    paceScale: 1,
    type: 'Q8_0',
    shape: {
      ...{ layers: 4, hiddenSize: 512, feedForwardSize: 1408 },
      ...{ heads: 8, kvHeads: 4, headDim: 64, vocabSize: 4096 },
    },
  },
] as const

/** Writes what is not in the cache yet. */
export async function madeUpModels(cacheDir: string): Promise<readonly NamedModel[]> {
  mkdirSync(cacheDir, { recursive: true })
  const models: NamedModel[] = []
  for (const { name, paceScale, type, shape } of madeUp) {
    const path = join(cacheDir, `calibration-${name}-${type.toLowerCase()}.gguf`)
    if (!existsSync(path)) await writeSyntheticModel({ path, type, shape })
    models.push({ name, path, paceScale })
  }
  return models
}
