import { freemem } from 'node:os'
import koffi from 'koffi'

export interface MemoryBandwidth {
  readonly bytesPerSecond: number
  readonly threads: number
  readonly bufferBytes: number
}

const libraries: Partial<Record<NodeJS.Platform, string>> = {
  linux: 'libc.so.6',
  darwin: 'libSystem.dylib',
  win32: 'msvcrt.dll',
}

/** How many threads can scan at once: the size of the pool that asynchronous native calls run on. */
export const scanThreadLimit = () => Number(process.env.UV_THREADPOOL_SIZE ?? 4)

/**
 * The rate at which `threads` threads together read memory: each scans its part of a buffer far larger than the
 * caches for a byte that is not there (`memchr`, vectorised in every libc). The best of several runs, because
 * anything else on the machine can only slow a run down.
 *
 * @throws RangeError for more threads than {@link scanThreadLimit}
 */
export async function measureMemoryBandwidth({
  threads,
  runs = 7,
  bufferBytes = Math.min(512 * 2 ** 20, Math.floor(freemem() / 4)),
}: {
  readonly threads: number
  readonly runs?: number
  readonly bufferBytes?: number
}): Promise<MemoryBandwidth> {
  if (threads > scanThreadLimit()) {
    throw new RangeError(`${threads} threads cannot scan at once; start with UV_THREADPOOL_SIZE=${threads}.`)
  }
  const library = libraries[process.platform]
  if (library === undefined) throw new Error(`The C library of ${process.platform} is not known.`)
  const memchr = koffi.load(library).func('memchr', 'void *', ['void *', 'int', 'size_t'])
  const part = Math.floor(bufferBytes / threads)
  const buffer = koffi.alloc('uint8_t', part * threads) as bigint
  try {
    new Uint8Array(koffi.view(buffer, part * threads)).fill(1)
    const scan = (index: number) =>
      new Promise<void>((resolve, reject) => {
        memchr.async(buffer + BigInt(index * part), 0, part, (error: Error | null) =>
          error ? reject(error) : resolve(),
        )
      })
    let best = 0
    for (let run = 0; run < runs; run++) {
      const start = performance.now()
      await Promise.all(Array.from({ length: threads }, (_, index) => scan(index)))
      best = Math.max(best, (part * threads * 1000) / (performance.now() - start))
    }
    return { bytesPerSecond: best, threads, bufferBytes: part * threads }
  } finally {
    koffi.free(buffer)
  }
}
