import type { LayerRange } from '@deos/domain'
import { readTensor } from '../weights/tensor-data.ts'
import type { AdapterSource } from './adapter-source.ts'
import { AdapterError } from './errors.ts'

/** The change of one matrix, `b · a`, row-major. */
export interface ModuleWeights {
  readonly columns: number
  readonly rows: number
  readonly rank: number
  /** `[rank, columns]`. */
  readonly a: Float32Array
  /** `[rows, rank]`, the scale multiplied in. */
  readonly b: Float32Array
}

/** What an adapter changes in some layers, by the name of the matrix: `blk.0.attn_q`. */
export type AdapterWeights = ReadonlyMap<string, ModuleWeights>

/** @throws AdapterError if a value is not finite; ModelFileError if a file became shorter */
export async function readAdapterWeights(source: AdapterSource, layers: LayerRange): Promise<AdapterWeights> {
  const weights = new Map<string, ModuleWeights>()
  for (const [name, module] of source.modules) {
    const layer = Number(/^blk\.(\d+)\./.exec(name)?.[1])
    if (layer < layers.first || layer >= layers.end) continue
    const a = await readTensor(module.a)
    const b = await readTensor(module.b)
    for (const [index, value] of b.entries()) b[index] = value * module.scale
    if (!a.every(Number.isFinite) || !b.every(Number.isFinite)) {
      throw new AdapterError(
        `The adapter ${source.path} changes ${name} by values that are not finite.`,
        'Its training failed or the file is damaged; give another.',
      )
    }
    const [columns, rank] = module.a.shape as [number, number]
    weights.set(name, { columns, rows: module.b.shape[1]!, rank, a, b })
  }
  return weights
}
