import { closeSync, fsyncSync, openSync } from 'node:fs'
import koffi from 'koffi'

const POSIX_FADV_DONTNEED = 4

type Advise = (fd: number, offset: number, length: number, advice: number) => number

/**
 * Lets go of what the system keeps of a file in memory, so that whoever maps it next reads it from disk into large pages,
 * as a model is read that was not just written; what was cached by small reads stays in small pages, which costs a fifth
 * of the memory's speed. Without effect where the system knows no such advice.
 */
export function forgetCachedFile(path: string): void {
  if (process.platform !== 'linux') return
  const advise = koffi
    .load('libc.so.6')
    .func('posix_fadvise', 'int', ['int', 'int64_t', 'int64_t', 'int']) as Advise
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
    advise(fd, 0, 0, POSIX_FADV_DONTNEED)
  } finally {
    closeSync(fd)
  }
}
