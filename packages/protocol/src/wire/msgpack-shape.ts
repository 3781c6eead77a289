import { malformed, overLimit } from './wire-error.ts'

const MAX_DEPTH = 16

/**
 * Walks MessagePack bytes without building anything and refuses what control messages never contain: extension
 * types, binary blobs, deep nesting, and containers that announce more items than bytes can follow. After this a
 * decoder allocates no more than a small multiple of the input.
 *
 * @throws WireError naming `field`
 */
export function checkMsgpackShape(bytes: Uint8Array, field: string): void {
  const end = skipValue(bytes, 0, 0, field)
  if (end !== bytes.length) throw malformed(field, `leaves ${bytes.length - end} bytes after its value`)
}

function skipValue(bytes: Uint8Array, at: number, depth: number, field: string): number {
  if (depth > MAX_DEPTH) throw overLimit(`${field} nesting`, depth, MAX_DEPTH)
  const tag = byteAt(bytes, at, field)
  if (tag <= 0x7f || tag >= 0xe0) return at + 1
  if (tag <= 0x8f) return skipItems(bytes, at + 1, (tag & 0x0f) * 2, depth, field)
  if (tag <= 0x9f) return skipItems(bytes, at + 1, tag & 0x0f, depth, field)
  if (tag <= 0xbf) return skipBytes(bytes, at + 1, tag & 0x1f, field)
  switch (tag) {
    case 0xc0: // nil
    case 0xc2: // false
    case 0xc3: // true
      return at + 1
    case 0xcc: // uint 8
    case 0xd0: // int 8
      return skipBytes(bytes, at + 1, 1, field)
    case 0xcd: // uint 16
    case 0xd1: // int 16
      return skipBytes(bytes, at + 1, 2, field)
    case 0xca: // float 32
    case 0xce: // uint 32
    case 0xd2: // int 32
      return skipBytes(bytes, at + 1, 4, field)
    case 0xcb: // float 64
    case 0xcf: // uint 64
    case 0xd3: // int 64
      return skipBytes(bytes, at + 1, 8, field)
    case 0xd9: // str 8
      return skipBytes(bytes, at + 2, readLength(bytes, at + 1, 1, field), field)
    case 0xda: // str 16
      return skipBytes(bytes, at + 3, readLength(bytes, at + 1, 2, field), field)
    case 0xdb: // str 32
      return skipBytes(bytes, at + 5, readLength(bytes, at + 1, 4, field), field)
    case 0xdc: // array 16
      return skipItems(bytes, at + 3, readLength(bytes, at + 1, 2, field), depth, field)
    case 0xdd: // array 32
      return skipItems(bytes, at + 5, readLength(bytes, at + 1, 4, field), depth, field)
    case 0xde: // map 16
      return skipItems(bytes, at + 3, readLength(bytes, at + 1, 2, field) * 2, depth, field)
    case 0xdf: // map 32
      return skipItems(bytes, at + 5, readLength(bytes, at + 1, 4, field) * 2, depth, field)
    default:
      throw malformed(field, `holds MessagePack type 0x${tag.toString(16)}, which no message uses`)
  }
}

function skipItems(bytes: Uint8Array, at: number, count: number, depth: number, field: string): number {
  if (count > bytes.length - at)
    throw malformed(field, `announces ${count} items in ${bytes.length - at} bytes`)
  let next = at
  for (let item = 0; item < count; item++) next = skipValue(bytes, next, depth + 1, field)
  return next
}

function skipBytes(bytes: Uint8Array, at: number, size: number, field: string): number {
  if (size > bytes.length - at) throw malformed(field, `ends ${size - (bytes.length - at)} bytes early`)
  return at + size
}

function readLength(bytes: Uint8Array, at: number, width: number, field: string): number {
  let length = 0
  for (let i = 0; i < width; i++) length = length * 256 + byteAt(bytes, at + i, field)
  return length
}

function byteAt(bytes: Uint8Array, at: number, field: string): number {
  const byte = bytes[at]
  if (byte === undefined) throw malformed(field, 'ends early')
  return byte
}
