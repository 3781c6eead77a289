import { malformed } from './wire-error.ts'

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Reads a frame's fixed binary meta; running past its end is a malformed frame. */
export class ByteReader {
  readonly #view: DataView
  #offset = 0

  constructor(
    private readonly bytes: Uint8Array,
    private readonly type: string,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get left(): number {
    return this.bytes.length - this.#offset
  }

  u8(field: string): number {
    return this.#view.getUint8(this.#take(field, 1))
  }

  u16(field: string): number {
    return this.#view.getUint16(this.#take(field, 2), true)
  }

  u32(field: string): number {
    return this.#view.getUint32(this.#take(field, 4), true)
  }

  u53(field: string): number {
    const at = this.#take(field, 8)
    const value = this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 0x100000000
    if (!Number.isSafeInteger(value)) throw malformed(`${this.type}.${field}`, `is ${value}, beyond 2^53`)
    return value
  }

  f64(field: string): number {
    return this.#view.getFloat64(this.#take(field, 8), true)
  }

  text(field: string, length: number): string {
    const at = this.#take(field, length)
    return decodeText(`${this.type}.${field}`, this.bytes.subarray(at, at + length))
  }

  /** The meta must end where its last field ends. */
  end(): void {
    if (this.left !== 0)
      throw malformed(`${this.type}.metaBytes`, `leaves ${this.left} bytes after the last field`)
  }

  #take(field: string, size: number): number {
    const at = this.#offset
    if (size > this.left) {
      throw malformed(`${this.type}.${field}`, `needs ${size} bytes where ${this.left} are left`)
    }
    this.#offset += size
    return at
  }
}

export function decodeText(field: string, bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw malformed(field, 'is not UTF-8')
  }
}
