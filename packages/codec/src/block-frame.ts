import type { KvPart } from './basis.ts'
import { ByteReader, ByteWriter } from './byte-cursor.ts'
import { crc32 } from './checksum.ts'
import { CodecInputError, CorruptBlockError } from './errors.ts'
import { type ExactTokens, type LevelName, levelNumbers } from './level.ts'

const MAGIC = 0x4b44 // DK
const FORMAT = 2
/** Flag beside the level: a fingerprint of tools follows their id. */
const WITH_TOOLS = 128
const NO_ID = '0'.repeat(16)

/** What a block says of itself before its payload. */
export interface BlockHeader {
  readonly level: LevelName
  readonly parts: readonly KvPart[]
  readonly tokens: number
  readonly firstPosition: number
  /** Of the basis, or of the channel models of a lossless block; null if it was written without. */
  readonly toolsId: string | null
  /** Of these tools as the writer had them in memory; null if it was written without. */
  readonly toolsFingerprint: string | null
  /** 0 for levels without a basis. */
  readonly step: number
  readonly exact: ExactTokens
}

const levelNames = Object.keys(levelNumbers).filter(isLevelName)

function isLevelName(name: string): name is LevelName {
  return name in levelNumbers
}

export function writeFrame(header: BlockHeader, payload: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const { parts, exact } = header
  const writer = new ByteWriter()
    .u16(MAGIC)
    .u8(FORMAT)
    .u8(levelNumbers[header.level] | (header.toolsFingerprint === null ? 0 : WITH_TOOLS))
  writer.u16(header.tokens).u32(header.firstPosition).u8(exact.first).u8(exact.last).f32(header.step)
  writer.append(idBytes(header.toolsId ?? NO_ID))
  if (header.toolsFingerprint !== null) writer.append(idBytes(header.toolsFingerprint))
  writer.u8(parts.length)
  for (const { layer, part, channels } of parts)
    writer.u16(2 * layer + (part === 'k' ? 0 : 1)).u16(channels - 1)
  for (const bytes of payload) writer.u32(bytes.length).append(bytes)
  const body = writer.done()
  return new ByteWriter().append(body).u32(crc32(body)).done()
}

/** @throws CorruptBlockError if the bytes are no block, whole and unchanged */
export function readFrame(bytes: Uint8Array): {
  readonly header: BlockHeader
  readonly payload: readonly Uint8Array[]
} {
  if (bytes.length < 33) throw new CorruptBlockError(`${bytes.length} bytes are too few for a KV block.`)
  const sum = new ByteReader(bytes.subarray(bytes.length - 4)).u32()
  const body = bytes.subarray(0, bytes.length - 4)
  if (crc32(body) !== sum) throw new CorruptBlockError('The checksum of a KV block does not fit its bytes.')
  const reader = new ByteReader(body)
  if (reader.u16() !== MAGIC) throw new CorruptBlockError('The bytes do not begin as a KV block does.')
  const format = reader.u8()
  if (format !== FORMAT) throw new CorruptBlockError(`KV block format ${format} is not format ${FORMAT}.`)
  const flagged = reader.u8()
  const number = flagged & ~WITH_TOOLS
  const level = levelNames.find((name) => levelNumbers[name] === number)
  if (level === undefined) throw new CorruptBlockError(`There is no level ${number}.`)
  const tokens = reader.u16()
  const firstPosition = reader.u32()
  const exact = { first: reader.u8(), last: reader.u8() }
  const step = reader.f32()
  const id = readId(reader)
  const toolsFingerprint = flagged & WITH_TOOLS ? readId(reader) : null
  const parts = Array.from({ length: reader.u8() }, () => {
    const place = reader.u16()
    return {
      layer: place >> 1,
      part: place & 1 ? ('v' as const) : ('k' as const),
      channels: reader.u16() + 1,
    }
  })
  const payload: Uint8Array[] = []
  while (reader.remaining > 0) payload.push(reader.slice(reader.u32()))
  const toolsId = id === NO_ID ? null : id
  return { header: { level, parts, tokens, firstPosition, toolsId, toolsFingerprint, step, exact }, payload }
}

const readId = (reader: ByteReader): string =>
  Array.from(reader.slice(8), (byte) => byte.toString(16).padStart(2, '0')).join('')

function idBytes(id: string): Uint8Array {
  if (!/^[0-9a-f]{16}$/.test(id)) throw new CodecInputError(`"${id}" is not 16 hexadecimal digits.`)
  return Uint8Array.from({ length: 8 }, (_, index) => Number.parseInt(id.slice(2 * index, 2 * index + 2), 16))
}
