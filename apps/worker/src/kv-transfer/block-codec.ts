import {
  bytesFromHalves,
  type Calibration,
  CodecInputError,
  calibratedTools,
  decodeKvBlock,
  encodeKvBlock,
  FIRST_STEP_LEVEL,
  halvesFromBytes,
  type KvTools,
  type Level,
  levelOf,
  narrowToHalves,
  type RotaryGeometry,
  widenHalves,
} from '@deos/codec'
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
  /** How keys of the layer turn; `null` for values, and where keys do not. */
  readonly rotation: RotaryGeometry | null
}

/** How a plan wants a block coded. */
export interface BlockCoding {
  /** 0 is exact. */
  readonly level: number
  /** Both sides have the same calibration. */
  readonly calibrated: boolean
  /** Exact blocks travel as they are stored: coding would take longer than the bytes it saves. */
  readonly plain?: boolean
}

/** Bytes that are no sound block, or of a cache of another type. */
export class BlockCodecError extends DomainError {
  readonly code = 'KV_BLOCK_CODEC'
  readonly retriable = false
}

/** Raised whenever bytes change their meaning; part of what blocks are kept under. */
export const BLOCK_CODEC_VERSION = 3

/** First byte of every block. */
const NOTHING = 0
const CODED = 1
const AS_STORED = 2
/** Only whoever has the same calibration can read it. */
const CALIBRATED = 3
/** The same of floats that were narrowed to halves: only caches of floats take them. */
const NARROWED = 4
const NARROWED_CALIBRATED = 5

/**
 * Halves are coded at the level wanted, and floats as halves where loss is wanted; other types travel exactly, as they are. So does what cannot be coded so: values
 * that are not finite, parts that no calibration knows.
 *
 * @param rows - `[tokens, columns]` as stored
 * @param calibration - `null` if this worker has none
 */
export function encodeBlock(
  rows: Uint8Array,
  facts: BlockFacts,
  coding: BlockCoding,
  calibration: Calibration | null,
): Uint8Array {
  if (facts.columns === 0) return Uint8Array.of(NOTHING)
  const plain = storedFrame(rows, facts.type)
  if (facts.type === 'F32') return floatFrame(rows, facts, coding, calibration) ?? plain
  if (facts.type !== 'F16' || (coding.plain === true && coding.level === 0)) return plain
  const own = coding.calibrated ? calibration : null
  const level = levelOf(coding.level, own?.steps ?? [], facts)
  const coded = (level === null ? null : lossyFrame(rows, facts, level, own)) ?? exactFrame(rows, facts, own)
  return coded.length >= plain.length ? plain : coded
}

/**
 * @returns `[tokens, columns]` as stored
 * @throws BlockCodecError if the bytes are not such a block; the codec's errors
 */
export function decodeBlock(
  bytes: Uint8Array,
  facts: BlockFacts,
  calibration: Calibration | null,
): Uint8Array {
  const { tokens, firstPosition, columns, type } = facts
  if (columns === 0) {
    if (bytes.length === 1 && bytes[0] === NOTHING) return new Uint8Array(0)
    throw unfit(`${bytes.length} bytes came for a part that stores nothing`)
  }
  const kinds = type === 'F16' ? [CODED, CALIBRATED] : type === 'F32' ? [NARROWED, NARROWED_CALIBRATED] : []
  const kind = kinds.indexOf(bytes[0] ?? NOTHING)
  if (kind >= 0) {
    const calibrated = kind === 1
    if (calibrated && calibration === null) throw unfit('it was made with a calibration')
    const tools = toolsOf(facts, calibrated ? calibration : null)
    const expected = { tokens, firstPosition, parts: [codecPart(facts)] }
    const [halves] = decodeKvBlock(bytes.subarray(1), expected, tools)
    return type === 'F32' ? bytesFromFloats(widenHalves(halves!)) : bytesFromHalves(halves!)
  }
  const head = storedFrame(new Uint8Array(0), type)
  if (head.some((byte, at) => byte !== bytes[at])) throw unfit(`its values are not those of a ${type} cache`)
  return bytes.subarray(head.length)
}

/** Whether a block's values travel as they are stored. */
export const isPlain = (bytes: Uint8Array): boolean => bytes[0] === AS_STORED

/** Whether a worker with this calibration, or with none, can code at these levels. */
export function knowsLevels(levels: readonly number[], calibration: Calibration | null): boolean {
  const end = FIRST_STEP_LEVEL + (calibration?.steps.length ?? 0)
  return levels.every((level) => level < end)
}

/** Narrowed first, so only with loss; `null` where every bit is wanted, or the level cannot be had. */
function floatFrame(
  rows: Uint8Array,
  facts: BlockFacts,
  coding: BlockCoding,
  calibration: Calibration | null,
): Uint8Array | null {
  const own = coding.calibrated ? calibration : null
  const level = levelOf(coding.level, own?.steps ?? [], facts)
  if (level === null) return null
  const frame = lossyFrame(bytesFromHalves(narrowToHalves(floatsFromBytes(rows))), facts, level, own)
  if (frame !== null) frame[0] = own === null ? NARROWED : NARROWED_CALIBRATED
  return frame
}

const exactFrame = (rows: Uint8Array, facts: BlockFacts, calibration: Calibration | null): Uint8Array =>
  codedFrame(rows, facts, { name: 'lossless' }, calibration)

/** `null` if the values or the calibration do not allow it. */
function lossyFrame(
  rows: Uint8Array,
  facts: BlockFacts,
  level: Level,
  calibration: Calibration | null,
): Uint8Array | null {
  if (level.name === 'lossless') return null
  if (level.name === 'basis' && toolsOf(facts, calibration).basis === undefined) return null
  try {
    return codedFrame(rows, facts, level, calibration)
  } catch (error) {
    if (error instanceof CodecInputError) return null
    throw error
  }
}

function codedFrame(
  rows: Uint8Array,
  facts: BlockFacts,
  level: Level,
  calibration: Calibration | null,
): Uint8Array {
  const { tokens, firstPosition } = facts
  const parts = [{ ...codecPart(facts), values: halvesFromBytes(rows) }]
  const coded = encodeKvBlock({ tokens, firstPosition, parts }, level, toolsOf(facts, calibration))
  const frame = new Uint8Array(coded.length + 1)
  frame[0] = calibration === null ? CODED : CALIBRATED
  frame.set(coded, 1)
  return frame
}

function toolsOf(facts: BlockFacts, calibration: Calibration | null): KvTools {
  const rotary = () => facts.rotation
  return calibration === null ? { rotary } : calibratedTools(calibration, rotary, codecPart(facts))
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

/** Caches are little-endian, whatever the machine. */
function floatsFromBytes(bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return Float32Array.from({ length: bytes.length / 4 }, (_, at) => view.getFloat32(4 * at, true))
}

function bytesFromFloats(floats: Float32Array): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 * floats.length))
  for (let at = 0; at < floats.length; at += 1) view.setFloat32(4 * at, floats[at]!, true)
  return new Uint8Array(view.buffer)
}

const unfit = (problem: string): BlockCodecError =>
  new BlockCodecError(`A block of KV cannot be taken: ${problem}.`, 'Give both rings the same KV type.')
