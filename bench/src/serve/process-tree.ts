import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'

interface ProcessStat {
  readonly parent: number
  readonly cpuTicks: number
}

/** Whether other processes can be looked into here. */
const hasProc = existsSync('/proc/self/stat')

/** Linux counts in hundredths of a second for whoever reads. */
const tickMs = 10

/**
 * Fields of `/proc/<pid>/stat`. The name stands in parentheses and may hold anything, parentheses too.
 *
 * @see proc_pid_stat(5)
 */
export function parseStat(text: string): ProcessStat {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { parent: Number(fields[1]), cpuTicks: Number(fields[11]) + Number(fields[12]) }
}

function statOf(pid: number): ProcessStat | null {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    // It has ended.
    return null
  }
}

/** A process and all it started, as they are now; the process alone where that cannot be seen. */
export function processTree(root: number): readonly number[] {
  if (!hasProc) return [root]
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const parent = statOf(Number(name))?.parent
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const tree = [root]
  for (const pid of tree) tree.push(...(children.get(pid) ?? []))
  return tree
}

/** CPU time that processes have used so far; `null` where that cannot be seen. */
export function cpuTimeMs(pids: readonly number[]): number | null {
  if (!hasProc) return null
  return pids.reduce((sum, pid) => sum + (statOf(pid)?.cpuTicks ?? 0), 0) * tickMs
}

/** Files whose names match that processes have mapped, such as the libraries they loaded. */
export function mappedFiles(pids: readonly number[], name: RegExp): readonly string[] {
  const files = new Set<string>()
  for (const pid of hasProc ? pids : []) {
    for (const line of mapsOf(pid).split('\n')) {
      const path = /\s(\/.*)$/.exec(line)?.[1]
      if (path !== undefined && name.test(path)) files.add(path)
    }
  }
  return [...files].sort()
}

function mapsOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/maps`, 'utf8')
  } catch {
    // It has ended, or belongs to somebody else.
    return ''
  }
}

const windowMs = 100
const idleMs = 20
const longestMs = 3000

/** Waits until processes are idle, at most some seconds: a server that has just answered still tidies up. */
export async function settleProcesses(pids: readonly number[]): Promise<void> {
  for (let waitedMs = 0; waitedMs < longestMs; waitedMs += windowMs) {
    const before = cpuTimeMs(pids)
    await setTimeout(windowMs)
    const after = cpuTimeMs(pids)
    if (before !== null && after !== null && after - before <= idleMs) return
    if (before === null && waitedMs >= 5 * windowMs) return
  }
}
