import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { constants } from 'node:os'
import { createInterface } from 'node:readline'

export interface ChildSpec {
  readonly script: string
  readonly nodeFlags: readonly string[]
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Takes its standard error. */
  readonly logFile: string
  readonly onLine: (line: string) => void
  /** Also told each line of its standard error. */
  readonly onErrorLine?: (line: string) => void
  /** @param code - null if a signal ended it, or it never began */
  readonly onExit: (reason: string, code: number | null) => void
}

/** A process of ours. Its standard input stays open as long as we live: when it ends, the child ends too. */
export interface Child {
  readonly pid: number
  write(line: string): void
  /** Asks a child that watches its standard input to end. */
  endInput(): void
  /** Reaches the child and whatever it started. */
  kill(signal: NodeJS.Signals): void
  /** Resolves when it is gone; after `limitMs` it is killed. */
  gone(limitMs: number): Promise<void>
}

export type StartChild = (spec: ChildSpec) => Child

/** Groups of their own keep a terminal's Ctrl-C away from children, so that they end in the order we choose. */
const ownGroup = process.platform !== 'win32'

/** Every child alive. */
const alive = new Set<Child>()

let watching = false

/** However this process ends, short of SIGKILL, its children end with it; then they notice by their standard input. */
function watchOverChildren(): void {
  if (watching) return
  watching = true
  process.on('exit', () => {
    for (const child of alive) child.kill('SIGKILL')
  })
}

export const startChild: StartChild = (spec) => {
  watchOverChildren()
  const log = openSync(spec.logFile, 'a')
  const { onErrorLine } = spec
  const process_ = spawn(process.execPath, [...spec.nodeFlags, spec.script, ...spec.args], {
    stdio: ['pipe', 'pipe', onErrorLine === undefined ? log : 'pipe'],
    env: { ...process.env, ...spec.env },
    detached: ownGroup,
    windowsHide: true,
  })
  if (onErrorLine === undefined) closeSync(log)
  else copyLines(process_, log, onErrorLine)
  return new SpawnedChild(process_, spec)
}

/** Lines are in the log before anybody hears of them, the last ones before the end of the process is told. */
function copyLines(process_: ChildProcess, log: number, onLine: (line: string) => void): void {
  const lines = createInterface({ input: process_.stderr! })
  lines.on('line', (line) => {
    writeSync(log, `${line}\n`)
    onLine(line)
  })
  lines.on('close', () => closeSync(log))
}

class SpawnedChild implements Child {
  readonly pid: number
  readonly #process: ChildProcess
  #exited = false
  readonly #exit: Promise<void>

  constructor(process_: ChildProcess, spec: ChildSpec) {
    this.#process = process_
    this.pid = process_.pid ?? 0
    alive.add(this)
    createInterface({ input: process_.stdout! }).on('line', spec.onLine)
    // A child that is gone cannot read; its exit tells more than the broken pipe.
    process_.stdin!.on('error', () => undefined)
    this.#exit = new Promise((resolve) => {
      const end = (reason: string, code: number | null) => {
        if (this.#exited) return
        this.#exited = true
        alive.delete(this)
        resolve()
        spec.onExit(reason, code)
      }
      process_.on('error', (error) => end(error.message, null))
      // What it started is orphaned and may hold its output open.
      process_.on('exit', () => this.kill('SIGKILL'))
      process_.on('close', (code, signal) => end(describeExit(code, signal, spec.logFile), code))
    })
  }

  write(line: string): void {
    if (this.#process.stdin!.writable) this.#process.stdin!.write(`${line}\n`)
  }

  endInput(): void {
    this.#process.stdin!.end()
  }

  kill(signal: NodeJS.Signals): void {
    if (this.pid === 0) return
    try {
      if (ownGroup) process.kill(-this.pid, signal)
      else this.#process.kill(signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }

  async gone(limitMs: number): Promise<void> {
    const timer = setTimeout(() => this.kill('SIGKILL'), limitMs)
    await this.#exit
    clearTimeout(timer)
  }
}

const MAX_LOG_TAIL = 16 * 1024

/** The last line of a log that says something, as text. */
export function lastLogLine(log: string): string | null {
  const line = log
    .split('\n')
    .map((each) => each.trim())
    .filter((each) => each !== '')
    .at(-1)
  if (line === undefined) return null
  try {
    const { msg } = JSON.parse(line) as { msg?: unknown }
    return typeof msg === 'string' ? msg : line
  } catch {
    return line
  }
}

function describeExit(code: number | null, signal: NodeJS.Signals | null, logFile: string): string {
  if (signal !== null) return `ended by ${signal} (signal ${constants.signals[signal]})`
  const log = readFileSync(logFile)
  const tail = lastLogLine(log.subarray(Math.max(0, log.length - MAX_LOG_TAIL)).toString())
  return `ended with code ${code}${tail === null ? '' : `: ${tail}`}`
}
