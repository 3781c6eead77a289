import { littleEndian } from './byte-cursor.ts'
import { CodecInputError } from './errors.ts'

/** K or V of consecutive tokens of one layer: `[tokens, channels]` in halves, channels of all KV heads side by side. */
export interface KvMatrix {
  readonly tokens: number
  readonly channels: number
  readonly values: Uint16Array
}

/** What a reader knows a block must be; nothing larger is ever allocated. */
export interface KvShape {
  readonly tokens: number
  readonly channels: number
}

export const MAX_BLOCK_TOKENS = 4096
export const MAX_CHANNELS = 65_536

/** @throws CodecInputError unless the extents are whole, in bounds, and those of the values */
export function checkMatrix({ tokens, channels, values }: KvMatrix): void {
  checkShape({ tokens, channels })
  if (values.length !== tokens * channels)
    throw new CodecInputError(`${tokens} tokens of ${channels} channels are not ${values.length} values.`)
}

export function checkShape({ tokens, channels }: KvShape): void {
  if (!Number.isInteger(tokens) || tokens < 1 || tokens > MAX_BLOCK_TOKENS)
    throw new CodecInputError(`A block has 1 to ${MAX_BLOCK_TOKENS} tokens, not ${tokens}.`)
  if (!Number.isInteger(channels) || channels < 1 || channels > MAX_CHANNELS)
    throw new CodecInputError(`A block has 1 to ${MAX_CHANNELS} channels, not ${channels}.`)
}

/** Halves as little-endian bytes, whatever the machine's order and the view's alignment. */
export function halvesFromBytes(bytes: Uint8Array): Uint16Array<ArrayBuffer> {
  if (bytes.length % 2 !== 0) throw new CodecInputError(`${bytes.length} bytes are not whole halves.`)
  const halves = new Uint16Array(bytes.length / 2)
  for (let index = 0; index < halves.length; index += 1)
    halves[index] = bytes[2 * index]! | (bytes[2 * index + 1]! << 8)
  return halves
}

export const bytesFromHalves = (halves: Uint16Array): Uint8Array<ArrayBuffer> => littleEndian(halves)
