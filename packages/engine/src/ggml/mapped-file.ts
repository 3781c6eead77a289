import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import koffi from 'koffi'
import { preferHugePages } from './huge-pages.ts'
import { NativeLibraryError, type Pointer } from './library.ts'

interface Libc {
  map(address: null, length: number, protection: number, flags: number, fd: number, offset: number): bigint
  unmap(address: bigint, length: number): number
  advise(address: bigint, length: number, advice: number): number
}

const PROT_READ = 1
const MAP_SHARED = 1
const MADV_DONTNEED = 4
/** Covers the page sizes of every supported system. */
const PAGE_BYTES = 65_536
const MAP_FAILED = 0xffff_ffff_ffff_ffffn

let cached: Libc | null | undefined

/** `null` where the system has no POSIX mmap (Windows): there files are read instead. */
function libc(): Libc | null {
  if (cached !== undefined) return cached
  if (process.platform === 'win32') {
    cached = null
    return cached
  }
  const library = koffi.load(process.platform === 'darwin' ? 'libSystem.dylib' : 'libc.so.6')
  cached = {
    map: library.func('mmap', 'uintptr_t', [
      'void *',
      'size_t',
      'int',
      'int',
      'int',
      'int64_t',
    ]) as Libc['map'],
    unmap: library.func('munmap', 'int', ['uintptr_t', 'size_t']) as Libc['unmap'],
    advise: library.func('madvise', 'int', ['uintptr_t', 'size_t', 'int']) as Libc['advise'],
  }
  return cached
}

/**
 * A file in the address space, shared with every other process that maps it. Where the system cannot map,
 * the same interface reads: `address` is then null and `read` copies.
 */
export class MappedFile {
  private constructor(
    readonly path: string,
    readonly sizeBytes: number,
    private readonly fd: number,
    private base: bigint | null,
  ) {}

  static open(path: string): MappedFile {
    const fd = openSync(path, 'r')
    const sizeBytes = fstatSync(fd).size
    const posix = libc()
    if (!posix || sizeBytes === 0) return new MappedFile(path, sizeBytes, fd, null)
    const base = BigInt(posix.map(null, sizeBytes, PROT_READ, MAP_SHARED, fd, 0))
    if (base === MAP_FAILED) {
      closeSync(fd)
      throw new NativeLibraryError(
        `${path} (${sizeBytes} bytes) could not be mapped into memory.`,
        'Raise the address space limit (ulimit -v) or move the file to a local disk.',
      )
    }
    preferHugePages(base as Pointer, sizeBytes)
    return new MappedFile(path, sizeBytes, fd, base)
  }

  /** Address of a byte range, or null where this system does not map files. Valid until {@link close}. */
  address(offset: number, length: number): Pointer | null {
    this.check(offset, length)
    return this.base === null ? null : ((this.base + BigInt(offset)) as Pointer)
  }

  /** Copies a byte range. */
  read(offset: number, length: number): Uint8Array {
    this.check(offset, length)
    const data = new Uint8Array(length)
    let done = 0
    while (done < length) {
      const count = readSync(this.fd, data, done, Math.min(length - done, 1 << 30), offset + done)
      if (count === 0) throw new RangeError(`${this.path} became shorter while it was read.`)
      done += count
    }
    return data
  }

  /** Lets go of the memory behind a range that was read once and copied elsewhere; it can be read again. */
  release(offset: number, length: number): void {
    if (this.base === null) return
    const first = Math.ceil(offset / PAGE_BYTES) * PAGE_BYTES
    const end = Math.floor((offset + length) / PAGE_BYTES) * PAGE_BYTES
    if (end > first) libc()!.advise(this.base + BigInt(first), end - first, MADV_DONTNEED)
  }

  close(): void {
    if (this.base !== null) libc()!.unmap(this.base, this.sizeBytes)
    this.base = null
    closeSync(this.fd)
  }

  private check(offset: number, length: number): void {
    if (offset < 0 || length < 0 || offset + length > this.sizeBytes) {
      throw new RangeError(
        `Bytes [${offset}, ${offset + length}) lie outside ${this.path}, which has ${this.sizeBytes}.`,
      )
    }
  }
}
