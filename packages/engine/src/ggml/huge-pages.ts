import koffi from 'koffi'
import type { Pointer } from './library.ts'

const MADV_HUGEPAGE = 14
/** Address ranges are advised in whole pages, whose size is at most this. */
const PAGE_BYTES = 65_536n

type Advise = (address: bigint, length: number, advice: number) => number

let cached: Advise | null | undefined

/** `null` where there is no such advice: only Linux has it. */
function advise(): Advise | null {
  if (cached === undefined) {
    cached =
      process.platform === 'linux'
        ? (koffi.load('libc.so.6').func('madvise', 'int', ['uintptr_t', 'size_t', 'int']) as Advise)
        : null
  }
  return cached
}

/**
 * Asks the system to back whole pages inside a range that will be read again and again by large pages: streaming weights
 * through 4 KB ones costs a fifth of the memory's speed. To be called before the range is first touched; a hint, without
 * effect where the system cannot.
 */
export function preferHugePages(address: Pointer, sizeBytes: number): void {
  const first = ((address + PAGE_BYTES - 1n) / PAGE_BYTES) * PAGE_BYTES
  const end = ((address + BigInt(sizeBytes)) / PAGE_BYTES) * PAGE_BYTES
  if (end > first) advise()?.(first, Number(end - first), MADV_HUGEPAGE)
}
