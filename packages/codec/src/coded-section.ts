import { ByteReader, ByteWriter } from './byte-cursor.ts'

/** Entropy-coded symbols, then the bits said as they are, whose number follows from the symbols. */
export function writeCoded(symbols: Uint8Array, bits: Uint8Array): Uint8Array<ArrayBuffer> {
  return new ByteWriter().u32(symbols.length).append(symbols).append(bits).done()
}

/** @throws CorruptBlockError if the bytes are too few */
export function readCoded(bytes: Uint8Array): { readonly symbols: Uint8Array; readonly bits: Uint8Array } {
  const reader = new ByteReader(bytes)
  return { symbols: reader.slice(reader.u32()), bits: reader.rest() }
}
