import { freemem } from 'node:os'
import koffi from 'koffi'

const libraries: Partial<Record<NodeJS.Platform, string>> = {
  linux: 'libc.so.6',
  darwin: 'libSystem.dylib',
  win32: 'msvcrt.dll',
}

const MADV_HUGEPAGE = 14
/** Of large pages where the system has them. */
const ALIGNMENT = 2 ** 21

/** How many threads can scan at once: the size of the pool that asynchronous native calls run on. */
export const scanThreadLimit = () => Number(process.env.UV_THREADPOOL_SIZE ?? 4)

export interface MemoryScanOptions {
  readonly threads: number
  /** Far more than caches hold; default 512 MB, or a quarter of what is free. */
  readonly bufferBytes?: number
}

/**
 * The rate at which some threads together read memory: each scans its part of a buffer in large pages for a byte that is
 * not there (`memchr`, vectorised in every libc). Nothing is written, and every byte comes from memory once.
 */
export class MemoryScan {
  readonly threads: number
  readonly bufferBytes: number
  readonly #memory: bigint
  readonly #start: bigint
  readonly #scan: (start: bigint, length: number) => Promise<void>

  /** @throws RangeError for more threads than {@link scanThreadLimit} */
  constructor({
    threads,
    bufferBytes = Math.min(512 * 2 ** 20, Math.floor(freemem() / 4)),
  }: MemoryScanOptions) {
    if (threads > scanThreadLimit()) {
      throw new RangeError(
        `${threads} threads cannot scan at once; start with UV_THREADPOOL_SIZE=${threads}.`,
      )
    }
    const path = libraries[process.platform]
    if (path === undefined) throw new Error(`The C library of ${process.platform} is not known.`)
    const library = koffi.load(path)
    this.threads = threads
    this.bufferBytes = Math.floor(bufferBytes / threads) * threads
    this.#memory = koffi.alloc('uint8_t', this.bufferBytes + ALIGNMENT) as bigint
    this.#start = alignUp(this.#memory)
    if (process.platform === 'linux') {
      const advise = library.func('madvise', 'int', ['uintptr_t', 'size_t', 'int'])
      advise(this.#start, this.bufferBytes, MADV_HUGEPAGE)
    }
    new Uint8Array(koffi.view(this.#start, this.bufferBytes)).fill(1)
    const find = library.func('memchr', 'void *', ['uintptr_t', 'int', 'size_t'])
    this.#scan = (start, length) =>
      new Promise((resolve, reject) => {
        find.async(start, 0, length, (error: Error | null) => (error ? reject(error) : resolve()))
      })
  }

  /** Bytes per second of the best of `runs` scans: anything else on the machine can only slow one down. */
  async best(runs: number): Promise<number> {
    const part = this.bufferBytes / this.threads
    let shortestMs = Number.POSITIVE_INFINITY
    for (let run = 0; run < runs; run++) {
      const start = performance.now()
      await Promise.all(
        Array.from({ length: this.threads }, (_, index) =>
          this.#scan(this.#start + BigInt(index * part), part),
        ),
      )
      shortestMs = Math.min(shortestMs, performance.now() - start)
    }
    return (this.bufferBytes * 1000) / shortestMs
  }

  close(): void {
    koffi.free(this.#memory)
  }
}

function alignUp(address: bigint): bigint {
  const step = BigInt(ALIGNMENT)
  return ((address + step - 1n) / step) * step
}
