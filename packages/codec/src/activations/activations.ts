import type { ActivationCoding } from '@deos/domain'
import { ByteReader } from '../byte-cursor.ts'
import { CodecInputError, CorruptBlockError } from '../errors.ts'
import { decodeWords, encodeWords } from './lossless-activations.ts'
import { decodeRounded, encodeRounded } from './rounded-activations.ts'

/** Hidden states `[tokens, width]`. */
export interface ActivationShape {
  readonly tokens: number
  readonly width: number
}

/** First byte of coded hidden states, and how many zeros follow them: frames carry whole words. */
const LOSSLESS = 0xa0
const INT8 = 0xa4
const INT4H = 0xa8
const WORD = 4

/**
 * Writes hidden states in fewer bytes. Which coding was used stands in the first byte; values that are not finite go
 * without loss whatever is asked for.
 *
 * @param bytes - little-endian float32, `4 × tokens × width` bytes
 * @returns a multiple of 4 bytes; null if they are better sent as they are: `f32` was asked for, or nothing is saved
 * @throws CodecInputError if the bytes are not of that shape
 */
export function encodeActivations(
  bytes: Uint8Array,
  shape: ActivationShape,
  coding: ActivationCoding,
): Uint8Array<ArrayBuffer> | null {
  const { tokens, width } = shape
  if (!isShape(shape) || bytes.length !== 4 * tokens * width)
    throw new CodecInputError(`${bytes.length} bytes are not ${tokens} × ${width} values of float32.`)
  if (coding === 'f32') return null
  const { buffer, byteOffset, length } = aligned(bytes)
  const rounded =
    coding === 'lossless'
      ? null
      : encodeRounded(
          new Float32Array(buffer, byteOffset, length / 4),
          tokens,
          width,
          coding === 'int8' ? 8 : 4,
        )
  const coded =
    rounded === null
      ? tagged(LOSSLESS, encodeWords(new Uint32Array(buffer, byteOffset, length / 4), width))
      : tagged(coding === 'int8' ? INT8 : INT4H, rounded)
  return coded.length < bytes.length ? coded : null
}

/**
 * Reads what {@link encodeActivations} wrote.
 *
 * @returns little-endian float32, `4 × tokens × width` bytes, aligned to them
 * @throws CorruptBlockError if the bytes are anything else; nothing of that size is allocated before the length is seen to
 *   fit
 */
export function decodeActivations(bytes: Uint8Array, shape: ActivationShape): Uint8Array<ArrayBuffer> {
  const { tokens, width } = shape
  if (!isShape(shape)) throw new CodecInputError(`Hidden states cannot be ${tokens} × ${width}.`)
  if (bytes.length >= 4 * tokens * width)
    throw new CorruptBlockError(`${bytes.length} bytes are no fewer than ${tokens} × ${width} values take.`)
  const tag = new ByteReader(bytes).u8()
  const padding = tag % WORD
  const end = bytes.length - padding
  if (bytes.length % WORD !== 0 || bytes.subarray(end).some((byte) => byte !== 0))
    throw new CorruptBlockError(`${bytes.length} bytes do not end with ${padding} of 0.`)
  const body = bytes.subarray(1, end)
  switch (tag - padding) {
    case LOSSLESS:
      return new Uint8Array(decodeWords(body, tokens, width).buffer)
    case INT8:
      return bytesOf(decodeRounded(body, tokens, width, 8))
    case INT4H:
      return bytesOf(decodeRounded(body, tokens, width, 4))
    default:
      throw new CorruptBlockError(`Hidden states begin with ${tag}, which is no coding.`)
  }
}

const isShape = ({ tokens, width }: ActivationShape): boolean =>
  Number.isSafeInteger(tokens) && tokens > 0 && Number.isSafeInteger(width) && width > 0

/** The same bytes where words may be read. */
const aligned = (bytes: Uint8Array): Uint8Array => (bytes.byteOffset % 4 === 0 ? bytes : bytes.slice())

const bytesOf = (values: Float32Array): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(4 * values.length)
  new Float32Array(bytes.buffer).set(values)
  return bytes
}

function tagged(tag: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const size = 1 + body.length
  const bytes = new Uint8Array(Math.ceil(size / WORD) * WORD)
  bytes[0] = tag + bytes.length - size
  bytes.set(body, 1)
  return bytes
}
