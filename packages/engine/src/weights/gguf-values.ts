interface ScalarCodec<T> {
  /** Type id in the file. */
  readonly id: number
  readonly sizeBytes: number
  read(data: Buffer, at: number): T
  write(data: Buffer, value: T, at: number): void
}

const big = (
  id: number,
  read: (data: Buffer, at: number) => bigint,
  write: (data: Buffer, value: bigint, at: number) => void,
): ScalarCodec<number | bigint> => ({
  id,
  sizeBytes: 8,
  read: (data, at) => {
    const value = read(data, at)
    return Number.isSafeInteger(Number(value)) ? Number(value) : value
  },
  write: (data, value, at) => write(data, BigInt(value), at),
})

const number = (
  id: number,
  sizeBytes: number,
  read: (data: Buffer, at: number) => number,
  write: (data: Buffer, value: number, at: number) => void,
): ScalarCodec<number | bigint> => ({
  id,
  sizeBytes,
  read,
  write: (data, value, at) => write(data, Number(value), at),
})

/** GGUF's number types. 64-bit integers are read as `number` where exact, else as `bigint`. */
export const ggufNumbers = {
  uint8: number(
    0,
    1,
    (data, at) => data.readUInt8(at),
    (data, value, at) => data.writeUInt8(value, at),
  ),
  int8: number(
    1,
    1,
    (data, at) => data.readInt8(at),
    (data, value, at) => data.writeInt8(value, at),
  ),
  uint16: number(
    2,
    2,
    (data, at) => data.readUInt16LE(at),
    (data, value, at) => data.writeUInt16LE(value, at),
  ),
  int16: number(
    3,
    2,
    (data, at) => data.readInt16LE(at),
    (data, value, at) => data.writeInt16LE(value, at),
  ),
  uint32: number(
    4,
    4,
    (data, at) => data.readUInt32LE(at),
    (data, value, at) => data.writeUInt32LE(value, at),
  ),
  int32: number(
    5,
    4,
    (data, at) => data.readInt32LE(at),
    (data, value, at) => data.writeInt32LE(value, at),
  ),
  float32: number(
    6,
    4,
    (data, at) => data.readFloatLE(at),
    (data, value, at) => data.writeFloatLE(value, at),
  ),
  uint64: big(
    10,
    (data, at) => data.readBigUInt64LE(at),
    (data, value, at) => data.writeBigUInt64LE(value, at),
  ),
  int64: big(
    11,
    (data, at) => data.readBigInt64LE(at),
    (data, value, at) => data.writeBigInt64LE(value, at),
  ),
  float64: number(
    12,
    8,
    (data, at) => data.readDoubleLE(at),
    (data, value, at) => data.writeDoubleLE(value, at),
  ),
} as const

export type GgufNumberType = keyof typeof ggufNumbers
export type GgufElementType = GgufNumberType | 'bool' | 'string'
export type GgufScalar = number | bigint | boolean | string

export const boolId = 7
export const stringId = 8
export const arrayId = 9

/** A metadata value with the type it has in the file, so that a copy is exact. */
export type GgufValue =
  | { readonly type: GgufNumberType; readonly value: number | bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'array'; readonly elementType: GgufElementType; readonly value: readonly GgufScalar[] }

const elementTypes = new Map<number, GgufElementType>([
  ...Object.entries(ggufNumbers).map(([name, { id }]) => [id, name as GgufNumberType] as const),
  [boolId, 'bool'],
  [stringId, 'string'],
])

export const elementTypeFromId = (id: number): GgufElementType | undefined => elementTypes.get(id)

export function elementTypeId(type: GgufElementType): number {
  if (type === 'bool') return boolId
  return type === 'string' ? stringId : ggufNumbers[type].id
}

/** Fewest bytes one element takes in a file: a string is at least its length. */
export function minimumBytes(type: GgufElementType): number {
  if (type === 'bool') return 1
  return type === 'string' ? 8 : ggufNumbers[type].sizeBytes
}

export const uint32 = (value: number): GgufValue => ({ type: 'uint32', value })
export const float32 = (value: number): GgufValue => ({ type: 'float32', value })
export const bool = (value: boolean): GgufValue => ({ type: 'bool', value })
export const string = (value: string): GgufValue => ({ type: 'string', value })
export const array = (elementType: GgufElementType, value: readonly GgufScalar[]): GgufValue => ({
  type: 'array',
  elementType,
  value,
})
