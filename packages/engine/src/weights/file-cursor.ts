import { ModelFileError } from './errors.ts'

const readAheadBytes = 1 << 20

/** Of a file handle what reading takes. */
export interface ReadableFile {
  read(
    target: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesRead: number }>
}

/** Resolves when the bytes `[first, end)` of a file are there to be read. */
export type NeedBytes = (first: number, end: number) => Promise<void>

/** The file, of which nothing is read before it was asked for. */
export const readAfter = (file: ReadableFile, need: NeedBytes | undefined): ReadableFile =>
  need === undefined
    ? file
    : {
        async read(target, offset, length, position) {
          await need(position, position + length)
          return file.read(target, offset, length, position)
        },
      }
const utf8 = new TextDecoder('utf-8')

/**
 * Reads a file's header from the front, little endian, through a bounded buffer.
 * Fixed-size reads are synchronous after {@link need} made their bytes available.
 */
export class FileCursor {
  private buffer = Buffer.alloc(0)
  private bufferOffset = 0
  private at = 0

  constructor(
    private readonly handle: ReadableFile,
    readonly file: string,
    readonly sizeBytes: number,
  ) {}

  /** Bytes from the start of the file. */
  get position(): number {
    return this.bufferOffset + this.at
  }

  get remaining(): number {
    return this.sizeBytes - this.position
  }

  /** Whether `count` bytes can be read without waiting. */
  has(count: number): boolean {
    return this.buffer.length - this.at >= count
  }

  /**
   * Makes `count` bytes available.
   *
   * @param what - what is being read, for the message
   * @throws ModelFileError if the file ends first
   */
  async need(count: number, what: string): Promise<void> {
    if (this.has(count)) return
    const position = this.position
    if (count > this.sizeBytes - position) {
      throw new ModelFileError(
        this.file,
        `ends at byte ${this.sizeBytes} in the middle of ${what}, which needs ${count} bytes from byte ${position}`,
        { hint: 'The file is truncated; download it again.' },
      )
    }
    const length = Math.min(Math.max(count, readAheadBytes), this.sizeBytes - position)
    const next = Buffer.allocUnsafe(length)
    await readFully(this.handle, this.file, next, position)
    this.buffer = next
    this.bufferOffset = position
    this.at = 0
  }

  uint32(): number {
    const value = this.buffer.readUInt32LE(this.at)
    this.at += 4
    return value
  }

  /** An unsigned 64-bit count, length or offset. */
  size(what: string): number {
    const low = this.buffer.readUInt32LE(this.at)
    const high = this.buffer.readUInt32LE(this.at + 4)
    const value = high * 0x1_0000_0000 + low
    if (!Number.isSafeInteger(value)) {
      throw new ModelFileError(this.file, `gives ${what} as ${value}, which no file can hold`)
    }
    this.at += 8
    return value
  }

  bytes(count: number): Buffer {
    const data = this.buffer.subarray(this.at, this.at + count)
    this.at += count
    return data
  }

  text(count: number): string {
    return utf8.decode(this.bytes(count))
  }
}

/** Fills `target` from `position` on. @throws ModelFileError if the file ends first */
export async function readFully(
  handle: ReadableFile,
  file: string,
  target: Uint8Array,
  position: number,
): Promise<void> {
  let done = 0
  while (done < target.length) {
    const { bytesRead } = await handle.read(target, done, target.length - done, position + done)
    if (bytesRead === 0) {
      throw new ModelFileError(file, `ended at byte ${position + done} while it was read`, {
        hint: 'The file changed or is truncated; download it again.',
      })
    }
    done += bytesRead
  }
}
