import { CorruptBlockError } from './errors.ts'

/** Words as bytes, whatever the order of the machine. */
export function littleEndian(words: Uint16Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(2 * words.length)
  for (let index = 0, at = 0; index < words.length; index += 1, at += 2) {
    bytes[at] = words[index]!
    bytes[at + 1] = words[index]! >>> 8
  }
  return bytes
}

/** Little-endian fields one after another, read within bounds. */
export class ByteReader {
  private readonly view: DataView
  private offset = 0

  constructor(readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get remaining(): number {
    return this.bytes.length - this.offset
  }

  u8(): number {
    return this.view.getUint8(this.take(1))
  }

  u16(): number {
    return this.view.getUint16(this.take(2), true)
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true)
  }

  f32(): number {
    return this.view.getFloat32(this.take(4), true)
  }

  rest(): Uint8Array {
    return this.slice(this.remaining)
  }

  slice(length: number): Uint8Array {
    const start = this.take(length)
    return this.bytes.subarray(start, start + length)
  }

  halves(count: number): Uint16Array<ArrayBuffer> {
    const start = this.take(2 * count)
    const values = new Uint16Array(count)
    for (let index = 0; index < count; index += 1)
      values[index] = this.view.getUint16(start + 2 * index, true)
    return values
  }

  floats(count: number): Float32Array<ArrayBuffer> {
    const start = this.take(4 * count)
    const values = new Float32Array(count)
    for (let index = 0; index < count; index += 1)
      values[index] = this.view.getFloat32(start + 4 * index, true)
    return values
  }

  private take(length: number): number {
    if (length > this.remaining) {
      throw new CorruptBlockError(`${this.bytes.length} bytes end where ${this.offset + length} are needed.`)
    }
    const start = this.offset
    this.offset += length
    return start
  }
}

/** Little-endian fields one after another, in memory that grows. */
export class ByteWriter {
  private bytes: Uint8Array<ArrayBuffer>
  private view: DataView<ArrayBuffer>
  private length = 0

  /** @param expectedBytes - room that is made beforehand */
  constructor(expectedBytes = 256) {
    this.bytes = new Uint8Array(expectedBytes)
    this.view = new DataView(this.bytes.buffer)
  }

  u8(value: number): this {
    const at = this.grow(1)
    this.view.setUint8(at, value)
    return this
  }

  u16(value: number): this {
    const at = this.grow(2)
    this.view.setUint16(at, value, true)
    return this
  }

  u32(value: number): this {
    const at = this.grow(4)
    this.view.setUint32(at, value, true)
    return this
  }

  f32(value: number): this {
    const at = this.grow(4)
    this.view.setFloat32(at, value, true)
    return this
  }

  append(bytes: Uint8Array): this {
    const at = this.grow(bytes.length)
    this.bytes.set(bytes, at)
    return this
  }

  halves(values: ArrayLike<number>): this {
    let at = this.grow(2 * values.length)
    for (let index = 0; index < values.length; index += 1, at += 2)
      this.view.setUint16(at, values[index]!, true)
    return this
  }

  floats(values: ArrayLike<number>): this {
    let at = this.grow(4 * values.length)
    for (let index = 0; index < values.length; index += 1, at += 4)
      this.view.setFloat32(at, values[index]!, true)
    return this
  }

  done(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.length)
  }

  private grow(count: number): number {
    const start = this.length
    this.length += count
    if (this.length > this.bytes.length) {
      const larger = new Uint8Array(Math.max(this.length, 2 * this.bytes.length))
      larger.set(this.bytes)
      this.bytes = larger
      this.view = new DataView(larger.buffer)
    }
    return start
  }
}
