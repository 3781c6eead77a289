import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { ServerFailedError } from './completion-client.ts'
import { processTree } from './process-tree.ts'

export interface ServerCommand {
  readonly name: string
  readonly file: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Takes its standard error, and its standard output unless `onLine` does. */
  readonly logFile: string
  readonly onLine?: (line: string) => void
}

const STOP_LIMIT_MS = 15_000
const LOG_TAIL = 2000

const signals = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

/** A signal ends this process without its `exit` event, at which servers are killed, unless it is caught. */
export function exitOnSignals(): void {
  for (const [signal, code] of Object.entries(signals)) process.once(signal, () => process.exit(code))
}

/** A server's process and all it starts; it does not outlive this one. */
export class ServerProcess {
  readonly #child: ChildProcess
  readonly #exited: Promise<string>
  readonly #kill = () => {
    for (const pid of this.pids().toReversed()) killIfThere(pid)
  }

  constructor(private readonly command: ServerCommand) {
    const log = openSync(command.logFile, 'w')
    this.#child = spawn(command.file, command.args, {
      stdio: ['ignore', command.onLine ? 'pipe' : log, log],
      env: { ...process.env, ...command.env },
      cwd: command.cwd,
    })
    closeSync(log)
    if (command.onLine) createInterface({ input: this.#child.stdout! }).on('line', command.onLine)
    process.on('exit', this.#kill)
    this.#exited = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve(error.message))
      this.#child.once('exit', (code, signal) => resolve(signal ?? `code ${code}`))
    })
    void this.#exited.then(() => process.off('exit', this.#kill))
  }

  /** Its process and those below it, as they are now. */
  pids(): readonly number[] {
    return this.#child.pid === undefined ? [] : processTree(this.#child.pid)
  }

  /** @throws ServerFailedError if the process ends before `ready` settles */
  async whenReady<T>(ready: Promise<T>): Promise<T> {
    const ended = this.#exited.then((reason): never => {
      const log = readFileSync(this.command.logFile, 'utf8').slice(-LOG_TAIL).trim()
      throw new ServerFailedError(
        `${this.command.name} ended with ${reason}: ${log}`,
        `Its log is ${this.command.logFile}.`,
      )
    })
    return Promise.race([ready, ended])
  }

  /** Asks it to end, and kills what is left after a while. */
  async stop(): Promise<void> {
    const limit = setTimeout(this.#kill, STOP_LIMIT_MS)
    this.#child.kill('SIGTERM')
    await this.#exited
    clearTimeout(limit)
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
