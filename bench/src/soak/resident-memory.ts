import { readFileSync } from 'node:fs'

/** Resident bytes of processes together, shared pages counted in each; `null` where that cannot be seen. */
export function residentBytes(pids: readonly number[]): number | null {
  let total = 0
  for (const pid of pids) {
    const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(statusOf(pid))?.[1]
    total += Number(kibibytes ?? 0) * 1024
  }
  return total === 0 ? null : total
}

function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8')
  } catch {
    // It has ended, or this system has no such files.
    return ''
  }
}
