import { malformed } from './wire-error.ts'

const utf8 = new TextEncoder()

/** Fills a frame's fixed binary meta and refuses numbers that their field cannot hold. */
export class ByteWriter {
  readonly view: DataView
  #offset: number

  constructor(
    readonly bytes: Uint8Array,
    offset: number,
    private readonly type: string,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#offset = offset
  }

  u8(value: number): void {
    this.view.setUint8(this.#offset, value)
    this.#offset += 1
  }

  u16(field: string, value: number): void {
    if (value >>> 0 !== value || value > 0xffff) throw this.#unfit(field, value)
    this.view.setUint16(this.#offset, value, true)
    this.#offset += 2
  }

  u32(field: string, value: number): void {
    if (value >>> 0 !== value) throw this.#unfit(field, value)
    this.view.setUint32(this.#offset, value, true)
    this.#offset += 4
  }

  /** An integer up to 2^53 − 1 in 8 bytes. */
  u53(field: string, value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw this.#unfit(field, value)
    this.view.setUint32(this.#offset, value % 0x100000000, true)
    this.view.setUint32(this.#offset + 4, Math.floor(value / 0x100000000), true)
    this.#offset += 8
  }

  f64(value: number): void {
    this.view.setFloat64(this.#offset, value, true)
    this.#offset += 8
  }

  raw(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.#offset)
    this.#offset += bytes.length
  }

  #unfit(field: string, value: number): Error {
    return malformed(`${this.type}.${field}`, `cannot hold ${value}`)
  }
}

export const encodeText = (text: string): Uint8Array => utf8.encode(text)
