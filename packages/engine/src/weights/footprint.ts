import { bytes, kvBytesPerTokenPerLayer, type ModelFootprint } from '@deos/domain'
import { type TensorType, tensorBytes } from '../ggml/tensor-type.ts'
import { chooseKvType } from '../stage/kv-type.ts'
import type { ModelSource, TensorInfo } from './model-source.ts'
import { planUnits } from './stage-weights.ts'
import { targetType } from './type-policy.ts'

const halfBytes = 2
const floatBytes = 4

/**
 * What stages of a model take in memory if its matrices are held as `type`, with the KV cache that the engine
 * takes by itself. A head tied to the
 * embedding counts as if it were its own: first and last stage each hold it.
 *
 * @param type - `native` keeps matrices as they are
 */
export function footprintOf(source: ModelSource, type: TensorType | 'native'): ModelFootprint {
  const { config } = source
  const kvBytes = chooseKvType('auto', config.headDim) === 'F16' ? halfBytes : floatBytes
  const none = { first: 0, end: 0 }
  const sizeOf = (part: { layers?: { first: number; end: number }; embedding?: boolean; head?: boolean }) =>
    bytes(
      planUnits({ source, layers: none, embedding: false, head: false, ...part })
        .flatMap(({ file, tensors }) => (file === 'rope' ? [] : tensors))
        .reduce((sum, tensor) => sum + tensorBytes(targetType(tensor, type), tensor.shape), 0),
    )
  return {
    weightType: type === 'native' ? commonestType(source) : type,
    layerBytes: Array.from({ length: config.layers }, (_, layer) =>
      sizeOf({ layers: { first: layer, end: layer + 1 } }),
    ),
    embeddingBytes: sizeOf({ embedding: true }),
    headBytes: sizeOf({ head: true }),
    kvBytesPerLayer: bytes(kvBytesPerTokenPerLayer(config, kvBytes)),
    boundaryBytes: bytes(config.hiddenSize * floatBytes),
    config,
  }
}

/** The type that most bytes of the layers' matrices have. */
function commonestType({ tensors }: ModelSource): TensorType {
  const sizes = new Map<TensorType, number>()
  const matrices = [...tensors.values()].filter(({ shape }: TensorInfo) => shape.length > 1)
  for (const tensor of matrices) {
    const type = targetType(tensor, 'native')
    sizes.set(type, (sizes.get(type) ?? 0) + tensorBytes(type, tensor.shape))
  }
  return [...sizes].sort(([, a], [, b]) => b - a)[0]?.[0] ?? 'F32'
}
