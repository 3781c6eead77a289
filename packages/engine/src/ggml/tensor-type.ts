/** ggml's element types that we read or write: id in GGUF and in the C API, elements and bytes per block. */
export const tensorTypes = {
  F32: { id: 0, blockSize: 1, blockBytes: 4 },
  F16: { id: 1, blockSize: 1, blockBytes: 2 },
  Q4_0: { id: 2, blockSize: 32, blockBytes: 18 },
  Q4_1: { id: 3, blockSize: 32, blockBytes: 20 },
  Q5_0: { id: 6, blockSize: 32, blockBytes: 22 },
  Q5_1: { id: 7, blockSize: 32, blockBytes: 24 },
  Q8_0: { id: 8, blockSize: 32, blockBytes: 34 },
  Q2_K: { id: 10, blockSize: 256, blockBytes: 84 },
  Q3_K: { id: 11, blockSize: 256, blockBytes: 110 },
  Q4_K: { id: 12, blockSize: 256, blockBytes: 144 },
  Q5_K: { id: 13, blockSize: 256, blockBytes: 176 },
  Q6_K: { id: 14, blockSize: 256, blockBytes: 210 },
  I8: { id: 24, blockSize: 1, blockBytes: 1 },
  I32: { id: 26, blockSize: 1, blockBytes: 4 },
  I64: { id: 27, blockSize: 1, blockBytes: 8 },
  BF16: { id: 30, blockSize: 1, blockBytes: 2 },
  MXFP4: { id: 39, blockSize: 32, blockBytes: 17 },
} as const

export type TensorType = keyof typeof tensorTypes

const byId = new Map<number, TensorType>(
  Object.entries(tensorTypes).map(([name, { id }]) => [id, name as TensorType]),
)

export const tensorTypeFromId = (id: number): TensorType | undefined => byId.get(id)

/**
 * Bytes of one row.
 *
 * @throws RangeError if the row is not a whole number of blocks
 */
export function rowBytes(type: TensorType, columns: number): number {
  const { blockSize, blockBytes } = tensorTypes[type]
  if (columns % blockSize !== 0) {
    throw new RangeError(`${type} stores blocks of ${blockSize} elements; a row of ${columns} does not fit.`)
  }
  return (columns / blockSize) * blockBytes
}

/** Bytes of a whole tensor, `shape` fastest dim first. */
export function tensorBytes(type: TensorType, shape: readonly number[]): number {
  return rowBytes(type, shape[0] ?? 1) * shape.slice(1).reduce((product, extent) => product * extent, 1)
}
