import { join } from 'node:path'
import { type Clock, DomainError } from '@deos/domain'
import { type Child, parseJsonLine, RestartBudget, type RestartLimits, type StartChild } from '@deos/service'

export class ProcessLostError extends DomainError {
  readonly code = 'PROCESS_LOST'
  readonly retriable = false

  constructor(title: string, reason: string, logFile: string) {
    super(`${title} cannot be kept running: ${reason.replace(/\.$/, '')}.`, `Its log is ${logFile}.`)
  }
}

/** What a process said when it was ready: one JSON line. */
export type ReadyLine = Readonly<Record<string, unknown>>

export interface KeptProcessOptions {
  /** For people: `The gateway`. */
  readonly title: string
  /** Of the log: `gateway`. */
  readonly name: string
  readonly script: string
  /** For Node itself. */
  readonly nodeFlags?: readonly string[]
  readonly runFolder: string
  /** @param url - where it listened in an earlier life; it should listen there again */
  readonly args: (url: string | null) => readonly string[]
  /** Secrets travel here: arguments show in every process list. */
  readonly env: Readonly<Record<string, string>>
  readonly limits: RestartLimits
  /** Whether this is the line that tells that the process is ready. */
  readonly isReady: (line: ReadyLine) => boolean
  /** Exit codes after which another start would end the same way. */
  readonly finalCodes?: ReadonlySet<number>
}

export interface KeptProcessObserver {
  onRestart(reason: string, delayMs: number): void
  onLost(error: ProcessLostError): void
}

export interface KeptProcessParts {
  readonly startChild: StartChild
  readonly clock: Clock
  readonly after: (delayMs: number, then: () => void) => () => void
}

/** A process that is kept alive, at one address if it listens. One that was never ready is not started again. */
export class KeptProcess {
  readonly #budget: RestartBudget
  readonly #logFile: string
  #child: Child | null = null
  #isProven = false
  #url: string | null = null
  #stopping = false
  #cancelWait: () => void = () => undefined
  #ready: (line: ReadyLine) => void = () => undefined

  constructor(
    private readonly options: KeptProcessOptions,
    private readonly observer: KeptProcessObserver,
    private readonly parts: KeptProcessParts,
  ) {
    this.#budget = new RestartBudget(options.limits)
    this.#logFile = join(options.runFolder, `${options.name}.log`)
  }

  get pid(): number | null {
    return this.#child?.pid ?? null
  }

  /** Resolves once it says that it is ready. Losing it before that is told to the observer alone. */
  start(): Promise<ReadyLine> {
    return new Promise((resolve) => {
      this.#ready = resolve
      this.#spawn()
    })
  }

  /** Lets it finish what it accepted; after `limitMs` it is killed. */
  async stop(limitMs: number): Promise<void> {
    this.#stopping = true
    this.#cancelWait()
    this.#child?.endInput()
    await this.#child?.gone(limitMs)
  }

  #spawn(): void {
    const { script, args, env } = this.options
    this.#child = this.parts.startChild({
      script,
      nodeFlags: this.options.nodeFlags ?? [],
      args: args(this.#url),
      env,
      logFile: this.#logFile,
      onLine: (line) => {
        const record = parseJsonLine(line)
        if (record === null || !this.options.isReady(record)) return
        if (typeof record.url === 'string') this.#url = record.url
        this.#isProven = true
        this.#ready(record)
      },
      onExit: (reason, code) => this.#exited(reason, code),
    })
  }

  #exited(reason: string, code: number | null): void {
    this.#child = null
    if (this.#stopping) return
    const isFinal = !this.#isProven || (code !== null && this.options.finalCodes?.has(code) === true)
    const delayMs = isFinal ? null : this.#budget.ended(this.parts.clock.now())
    if (delayMs === null) {
      this.observer.onLost(new ProcessLostError(this.options.title, reason, this.#logFile))
      return
    }
    this.observer.onRestart(reason, delayMs)
    this.#cancelWait = this.parts.after(delayMs, () => this.#spawn())
  }
}

/** What a process that listens is ready by. */
export const hasUrl = ({ url }: ReadyLine): boolean => typeof url === 'string'

/** The port to take again after a restart. */
export const portAgain = (port: number, url: string | null): string =>
  String(url === null ? port : new URL(url).port)
