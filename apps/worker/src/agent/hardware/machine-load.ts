import { readFileSync } from 'node:fs'
import { cpus, freemem, totalmem } from 'node:os'

interface CpuTimes {
  readonly busy: number
  readonly all: number
}

function cpuTimes(): CpuTimes {
  let busy = 0
  let all = 0
  for (const { times } of cpus()) {
    const sum = times.user + times.nice + times.sys + times.irq + times.idle
    all += sum
    busy += sum - times.idle
  }
  return { busy, all }
}

/** Null where the system does not say, or the process is gone. */
function residentBytes(pid: number): number | null {
  try {
    const line = readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmRSS:\s*(\d+) kB$/m)
    return line === null ? null : Number(line[1]) * 1024
  } catch {
    return null
  }
}

export interface MachineLoad {
  readonly cpuFraction: number
  readonly memoryUsedBytes: number
}

/** Two looks closer together see mostly chance. */
const LEAST_SPAN_MS = 500

/** How busy the machine is, from look to look. */
export class MachineLoadMeter {
  #before = cpuTimes()
  #readAtMs = performance.now()
  #latest: MachineLoad = { cpuFraction: 0, memoryUsedBytes: 0 }

  /** @param memoryLimitBytes - with a limit, only what this machine's processes use counts: others share the computer */
  constructor(private readonly memoryLimitBytes: number | null) {}

  /** @param pids - of this machine's processes */
  read(pids: readonly number[]): MachineLoad {
    const nowMs = performance.now()
    if (nowMs - this.#readAtMs < LEAST_SPAN_MS) return this.#latest
    this.#readAtMs = nowMs
    const now = cpuTimes()
    const elapsed = now.all - this.#before.all
    const cpuFraction = elapsed > 0 ? Math.min(1, Math.max(0, (now.busy - this.#before.busy) / elapsed)) : 0
    this.#before = now
    this.#latest = { cpuFraction, memoryUsedBytes: this.#memory(pids) }
    return this.#latest
  }

  #memory(pids: readonly number[]): number {
    const own = this.memoryLimitBytes === null ? null : residentBytes(process.pid)
    if (own === null) return Math.max(0, totalmem() - freemem())
    return pids.reduce((sum, pid) => sum + (residentBytes(pid) ?? 0), own)
  }
}
