import { join } from 'node:path'
import { type Clock, DomainError } from '@deos/domain'
import type { Child, StartChild } from './child-process.ts'
import { RestartBudget, type RestartLimits } from './restart-budget.ts'
import { parseJsonLine } from './worker-message.ts'

export class GatewayLostError extends DomainError {
  readonly code = 'GATEWAY_LOST'
  readonly retriable = false

  constructor(reason: string, logFile: string) {
    super(`The gateway cannot be kept running: ${reason.replace(/\.$/, '')}.`, `Its log is ${logFile}.`)
  }
}

export interface GatewayProcessOptions {
  readonly script: string
  readonly runFolder: string
  readonly ringSecret: string
  readonly apiKey: string | null
  readonly host: string
  /** 0 lets the system choose; a restart takes the same one again. */
  readonly port: number
  readonly ring: string
  readonly model: { readonly id: string; readonly path: string }
  /** Names under which the ring knows LoRA adapters. */
  readonly adapters: readonly string[]
  /** Address of stage 0. */
  readonly leader: string
  /** Address of the last stage. */
  readonly tail: string
  readonly limits: RestartLimits
}

export interface GatewayObserver {
  onRestart(reason: string, delayMs: number): void
  onLost(error: GatewayLostError): void
}

export interface GatewayProcessParts {
  readonly startChild: StartChild
  readonly clock: Clock
  readonly after: (delayMs: number, then: () => void) => () => void
}

/** What accepted requests get to finish; the gateway cuts off the rest. */
const DRAIN_LIMIT_MS = 10_000
/** How long to wait for its end altogether. */
export const GATEWAY_STOP_MS = DRAIN_LIMIT_MS + 2_000

/** The gateway's process, kept alive at one address. */
export class GatewayProcess {
  readonly #budget: RestartBudget
  readonly #logFile: string
  #child: Child | null = null
  #url: string | null = null
  #stopping = false
  #cancelWait: () => void = () => undefined
  #listening: (url: string) => void = () => undefined

  constructor(
    private readonly options: GatewayProcessOptions,
    private readonly observer: GatewayObserver,
    private readonly parts: GatewayProcessParts,
  ) {
    this.#budget = new RestartBudget(options.limits)
    this.#logFile = join(options.runFolder, 'gateway.log')
  }

  get pid(): number | null {
    return this.#child?.pid ?? null
  }

  /** Resolves with the address for clients once it listens; whether the ring is ready is another matter. */
  start(): Promise<string> {
    return new Promise((resolve) => {
      this.#listening = resolve
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
    this.#child = this.parts.startChild({
      script: this.options.script,
      nodeFlags: [],
      args: gatewayArguments(this.options, this.#url),
      env: gatewayEnvironment(this.options),
      logFile: this.#logFile,
      onLine: (line) => {
        const url = parseJsonLine(line)?.url
        if (typeof url !== 'string') return
        this.#url = url
        this.#listening(url)
      },
      onExit: (reason) => this.#exited(reason),
    })
  }

  #exited(reason: string): void {
    this.#child = null
    if (this.#stopping) return
    const delayMs = this.#url === null ? null : this.#budget.ended(this.parts.clock.now())
    if (delayMs === null) {
      this.observer.onLost(new GatewayLostError(reason, this.#logFile))
      return
    }
    this.observer.onRestart(reason, delayMs)
    this.#cancelWait = this.parts.after(delayMs, () => this.#spawn())
  }
}

/** @param url - where it listened in an earlier life */
function gatewayArguments(options: GatewayProcessOptions, url: string | null): readonly string[] {
  const { host, port, ring, leader, tail, model, adapters } = options
  return [
    ...['--host', host, '--port', String(url === null ? port : new URL(url).port)],
    ...['--ring', ring, '--leader', leader, '--tail', tail],
    ...['--model', model.path, '--model-id', model.id],
    ...(adapters.length === 0 ? [] : ['--adapters', adapters.join(',')]),
    ...['--drain-limit', `${DRAIN_LIMIT_MS}ms`],
  ]
}

/** Secrets travel in the environment: arguments show in every process list. */
function gatewayEnvironment({ ringSecret, apiKey }: GatewayProcessOptions): Readonly<Record<string, string>> {
  // An empty key is none, whatever this process inherited.
  return { DEOS_RING_SECRET: ringSecret, DEOS_API_KEY: apiKey ?? '' }
}
