import { bytesFromHalves, decodeKvBlock, encodeKvBlock, halvesFromBytes } from '@deos/codec'
import { DomainError, type KvPart } from '@deos/domain'

/** What both ends know of a block before its bytes. */
export interface BlockFacts {
  readonly layer: number
  readonly part: KvPart
  readonly tokens: number
  /** Elements of each position. */
  readonly columns: number
  readonly firstPosition: number
  /** As what the cache stores elements. */
  readonly type: string
}

/** Bytes that are no sound block, or of a cache of another type. */
export class BlockCodecError extends DomainError {
  readonly code = 'KV_BLOCK_CODEC'
  readonly retriable = false
}

/** Raised whenever bytes change their meaning; part of what blocks are kept under. */
export const BLOCK_CODEC_VERSION = 1

/** Without a model of channels, how keys turn makes no difference. */
const tools = { rotary: () => null }

/** First byte of every block. */
const NOTHING = 0
const LOSSLESS = 1
const AS_STORED = 2

/**
 * Exact, whatever the cache stores: halves are entropy-coded, other types travel as they are.
 *
 * @param rows - `[tokens, columns]` as stored
 */
export function encodeBlock(rows: Uint8Array, facts: BlockFacts): Uint8Array {
  if (facts.columns === 0) return Uint8Array.of(NOTHING)
  const plain = storedFrame(rows, facts.type)
  if (facts.type !== 'F16') return plain
  const { tokens, firstPosition } = facts
  const parts = [{ ...codecPart(facts), values: halvesFromBytes(rows) }]
  const coded = encodeKvBlock({ tokens, firstPosition, parts }, { name: 'lossless' }, tools)
  if (coded.length + 1 >= plain.length) return plain
  const frame = new Uint8Array(coded.length + 1)
  frame[0] = LOSSLESS
  frame.set(coded, 1)
  return frame
}

/**
 * @returns `[tokens, columns]` as stored
 * @throws BlockCodecError if the bytes are not such a block; the codec's errors
 */
export function decodeBlock(bytes: Uint8Array, facts: BlockFacts): Uint8Array {
  const { tokens, firstPosition, columns, type } = facts
  if (columns === 0) {
    if (bytes.length === 1 && bytes[0] === NOTHING) return new Uint8Array(0)
    throw unfit(`${bytes.length} bytes came for a part that stores nothing`)
  }
  if (bytes[0] === LOSSLESS && type === 'F16') {
    const expected = { tokens, firstPosition, parts: [codecPart(facts)] }
    const [halves] = decodeKvBlock(bytes.subarray(1), expected, tools)
    return bytesFromHalves(halves!)
  }
  const head = storedFrame(new Uint8Array(0), type)
  if (head.some((byte, at) => byte !== bytes[at])) throw unfit(`its values are not those of a ${type} cache`)
  return bytes.subarray(head.length)
}

const codecPart = ({ layer, part, columns }: BlockFacts) =>
  ({ layer, part: part === 'key' ? 'k' : 'v', channels: columns }) as const

function storedFrame(rows: Uint8Array, type: string): Uint8Array {
  const name = new TextEncoder().encode(type)
  const frame = new Uint8Array(2 + name.length + rows.length)
  frame.set([AS_STORED, name.length])
  frame.set(name, 2)
  frame.set(rows, 2 + name.length)
  return frame
}

const unfit = (problem: string): BlockCodecError =>
  new BlockCodecError(`A block of KV cannot be taken: ${problem}.`, 'Give both rings the same KV type.')
