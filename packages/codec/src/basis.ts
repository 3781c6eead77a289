import { ByteReader, ByteWriter } from './byte-cursor.ts'
import { contentId, crc32 } from './checksum.ts'
import { CLASS_COUNT, CLASS_SYMBOLS, type ComponentClass, classFrom } from './component-classes.ts'
import { CodecInputError, CorruptBlockError } from './errors.ts'
import { halfValues, toHalf } from './half.ts'

/** K or V of one layer. */
export interface KvPart {
  readonly layer: number
  readonly part: 'k' | 'v'
  readonly channels: number
}

/** A part in a basis, and how much its errors count: channels are multiplied by `weight` before the transform. */
export interface WeightedPart extends KvPart {
  readonly weight: number
}

/**
 * An orthonormal basis over the channels of one or several parts side by side, keys as they were before their
 * positions. `component = vectors · (weights ∘ (channels − mean)) − regression · (reference − referenceMean)`.
 */
export interface Basis {
  /** Hash of the serialised basis, 16 hexadecimal digits. */
  readonly id: string
  /** Counts the updates of a basis during its life. */
  readonly version: number
  readonly parts: readonly WeightedPart[]
  readonly channels: number
  readonly rank: number
  readonly mean: Float32Array
  /** `[rank, channels]`, most important first. */
  readonly vectors: Float32Array
  /** Of each component over the calibration text. */
  readonly deviations: Float32Array
  readonly classes: readonly ComponentClass[]
  /** Channels that both sides know beforehand, such as layer 0's keys and values, which follow from the tokens; may be 0. */
  readonly referenceChannels: number
  readonly referenceMean: Float32Array
  /** `[rank, referenceChannels]`. */
  readonly regression: Float32Array
}

export type BasisContent = Omit<Basis, 'id'>

const MAGIC = 0x42564b44 // DKVB
const MAX_RANK = 16_384
const MAX_PARTS = 64

/** A basis as its bytes say it: vectors and factors are rounded to halves, so that both sides compute with the same. */
export function finishBasis(content: BasisContent): {
  readonly basis: Basis
  readonly bytes: Uint8Array<ArrayBuffer>
} {
  const writer = new ByteWriter().u32(MAGIC).u32(content.version).u16(content.parts.length)
  for (const { layer, part, channels, weight } of content.parts)
    writer
      .u16(layer)
      .u8(part === 'k' ? 0 : 1)
      .u32(channels)
      .f32(weight)
  writer.u16(content.rank).u32(content.referenceChannels)
  writer.floats(content.mean).floats(content.referenceMean).floats(content.deviations)
  for (const { table, one, more } of content.classes) writer.halves(table.frequencies).f32(one).f32(more)
  writer.halves(Array.from(content.vectors, toHalf)).halves(Array.from(content.regression, toHalf))
  const body = writer.done()
  const bytes = new ByteWriter().append(body).u32(crc32(body)).done()
  return { basis: readBasis(bytes), bytes }
}

/** @throws CorruptBlockError if the bytes are no sound basis */
export function readBasis(bytes: Uint8Array): Basis {
  if (bytes.length < 16) throw new CorruptBlockError(`${bytes.length} bytes are too few for a basis.`)
  const sum = new ByteReader(bytes.subarray(bytes.length - 4)).u32()
  const body = bytes.subarray(0, bytes.length - 4)
  const reader = new ByteReader(body)
  if (reader.u32() !== MAGIC || crc32(body) !== sum)
    throw new CorruptBlockError('The bytes are not a basis, or were changed.')
  const version = reader.u32()
  const parts = readParts(reader)
  const channels = parts.reduce((all, part) => all + part.channels, 0)
  const rank = reader.u16()
  const referenceChannels = reader.u32()
  if (rank < 1 || rank > Math.min(MAX_RANK, channels))
    throw new CorruptBlockError(`A basis over ${channels} channels cannot have rank ${rank}.`)
  const needed = 4 * (channels + referenceChannels + rank) + 2 * rank * (channels + referenceChannels)
  if (needed > reader.remaining)
    throw new CorruptBlockError(`A basis of this shape takes ${needed} bytes; ${reader.remaining} are left.`)
  const basis = {
    ...{ id: contentId(bytes), version, parts, channels, rank, referenceChannels },
    mean: finiteOnly(reader.floats(channels)),
    referenceMean: finiteOnly(reader.floats(referenceChannels)),
    deviations: positiveOnly(reader.floats(rank)),
    classes: readClasses(reader),
    vectors: finiteOnly(Float32Array.from(reader.halves(rank * channels), (half) => halfValues[half]!)),
    regression: finiteOnly(
      Float32Array.from(reader.halves(rank * referenceChannels), (half) => halfValues[half]!),
    ),
  }
  if (reader.remaining !== 0) throw new CorruptBlockError(`${reader.remaining} bytes follow the basis.`)
  return basis
}

function readParts(reader: ByteReader): readonly WeightedPart[] {
  const count = reader.u16()
  if (count < 1 || count > MAX_PARTS) throw new CorruptBlockError(`A basis cannot be of ${count} parts.`)
  return Array.from({ length: count }, () => {
    const layer = reader.u16()
    const part = reader.u8() === 0 ? ('k' as const) : ('v' as const)
    const channels = reader.u32()
    const weight = reader.f32()
    if (!(weight > 0 && weight < Number.POSITIVE_INFINITY) || channels < 1 || channels > 65_536)
      throw new CorruptBlockError(`A part cannot have ${channels} channels of weight ${weight}.`)
    return { layer, part, channels, weight }
  })
}

function readClasses(reader: ByteReader): readonly ComponentClass[] {
  return Array.from({ length: CLASS_COUNT }, () => {
    const frequencies = reader.halves(CLASS_SYMBOLS)
    const [one, more] = finiteOnly(reader.floats(2))
    return classFrom(frequencies, one!, more!)
  })
}

function finiteOnly<T extends Float32Array>(values: T): T {
  if (!values.every(Number.isFinite)) throw new CorruptBlockError('A basis holds only finite numbers.')
  return values
}

function positiveOnly<T extends Float32Array>(values: T): T {
  if (!finiteOnly(values).every((value) => value > 0))
    throw new CorruptBlockError('Deviations must be positive.')
  return values
}

/** Rows of all parts side by side in a basis' order, from one matrix `[tokens, channels]` for each part. */
export function besideEachOther(
  basis: Pick<Basis, 'parts' | 'channels'>,
  matrices: readonly Float32Array[],
): Float32Array {
  const tokens = matrices[0]!.length / basis.parts[0]!.channels
  if (matrices.length !== basis.parts.length)
    throw new CodecInputError(`The basis has ${basis.parts.length} parts, not ${matrices.length}.`)
  const rows = new Float32Array(tokens * basis.channels)
  let offset = 0
  for (const [index, { channels }] of basis.parts.entries()) {
    const matrix = matrices[index]!
    if (matrix.length !== tokens * channels)
      throw new CodecInputError(`Part ${index} has ${matrix.length} values, not ${tokens} × ${channels}.`)
    for (let token = 0; token < tokens; token += 1)
      rows.set(matrix.subarray(token * channels, (token + 1) * channels), token * basis.channels + offset)
    offset += channels
  }
  return rows
}

/** The opposite of {@link besideEachOther}. */
export function apart(basis: Pick<Basis, 'parts' | 'channels'>, rows: Float32Array): Float32Array[] {
  const tokens = rows.length / basis.channels
  let offset = 0
  return basis.parts.map(({ channels }) => {
    const matrix = new Float32Array(tokens * channels)
    for (let token = 0; token < tokens; token += 1) {
      const start = token * basis.channels + offset
      matrix.set(rows.subarray(start, start + channels), token * channels)
    }
    offset += channels
    return matrix
  })
}
