import { type TensorType, tensorTypes } from '../ggml/tensor-type.ts'

/** Types a model can be converted to. */
export const weightTypes = [
  'F32',
  'F16',
  'BF16',
  'Q8_0',
  'Q6_K',
  'Q5_K',
  'Q5_1',
  'Q5_0',
  'Q4_K',
  'Q4_1',
  'Q4_0',
  'Q3_K',
  'Q2_K',
] as const satisfies readonly TensorType[]
export type WeightType = (typeof weightTypes)[number]

export const isWeightType = (type: string): type is WeightType =>
  (weightTypes as readonly string[]).includes(type)

/** For rows that do not fill blocks of 256: the type in blocks of 32 that llama.cpp falls back to. */
const smallerBlocks: Partial<Record<TensorType, TensorType>> = {
  Q2_K: 'Q4_0',
  Q3_K: 'Q4_0',
  Q4_K: 'Q5_0',
  Q5_K: 'Q5_1',
  Q6_K: 'Q8_0',
}

interface StoredTensor {
  readonly name: string
  readonly type: TensorType
  readonly shape: readonly number[]
}

/** Vectors, norms and biases, which ggml's element-wise operators want so, and routers, which choose by small margins. */
const staysF32 = ({ name, shape }: StoredTensor): boolean =>
  shape.length === 1 || /(_norm\.weight|\.bias|ffn_gate_inp\.weight)$/.test(name)

/**
 * The type a tensor gets in a model of `wanted` type: some small ones stay F32; matrices get `wanted`, or a type with smaller blocks if their rows do not fill its blocks.
 *
 * @param wanted - `native` keeps matrices as they are
 */
export function targetType(tensor: StoredTensor, wanted: TensorType | 'native'): TensorType {
  if (staysF32(tensor)) return 'F32'
  if (wanted === 'native') return tensor.type
  const columns = tensor.shape[0]!
  const fits = (type: TensorType) => columns % tensorTypes[type].blockSize === 0
  if (fits(wanted)) return wanted
  const smaller = smallerBlocks[wanted]
  return smaller && fits(smaller) ? smaller : 'F16'
}

/** A matrix that could not get the type asked for. */
export interface TypeFallback {
  readonly tensor: string
  readonly wanted: TensorType
  readonly used: TensorType
  /** Elements per row, not a multiple of the wanted type's block. */
  readonly columns: number
}

export function typeFallback(tensor: StoredTensor, wanted: TensorType | 'native'): TypeFallback | null {
  const used = targetType(tensor, wanted)
  if (wanted === 'native' || used === wanted || staysF32(tensor)) return null
  return { tensor: tensor.name, wanted, used, columns: tensor.shape[0]! }
}
