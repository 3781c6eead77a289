import { type Clock, describeError } from '@deos/domain'
import { type Child, RestartBudget, type RestartLimits, type StartChild } from '@deos/service'
import { parsePeerAddress } from '@deos/transport'
import { parseWorkerEvent, type StageLoad, type WorkerEvent } from '../../worker-event.ts'

export type StagePhase =
  | { readonly phase: 'starting' }
  | { readonly phase: 'loading'; readonly fraction: number }
  | { readonly phase: 'ready'; readonly device: string }
  /** Its engine died; the process starts another by itself. */
  | { readonly phase: 'engine-lost'; readonly reason: string }
  /** The process died and is started again. */
  | { readonly phase: 'restarting'; readonly reason: string; readonly delayMs: number }
  /** For good. */
  | { readonly phase: 'failed'; readonly reason: string }

export interface StageProcessOptions {
  readonly script: string
  /** What the process is told; where to listen is added. */
  readonly assignment: object
  readonly ringSecret: string
  readonly listenHost: string
  readonly logFile: string
  readonly limits: RestartLimits
}

export interface StageProcessObserver {
  onPhase(phase: StagePhase): void
  /** Where it listens: `host:port`, at first and whenever it changes. */
  onAddress(address: string): void
  /** A line of its log. */
  onLogLine(line: string): void
}

export interface StageProcessParts {
  readonly startChild: StartChild
  readonly clock: Clock
  /** `setTimeout`, or a stand-in for it; returns how to call it off. */
  readonly after: (delayMs: number, then: () => void) => () => void
}

/** Small heaps: weights and KV cache are native memory of the engine. Baseline code from the first call on. */
const NODE_FLAGS = ['--max-semi-space-size=2', '--max-old-space-size=192', '--always-sparkplug']

/** Longer than any death by signal takes. */
const GONE_MS = 5_000

const idle: StageLoad = {
  activeSessions: 0,
  kvUsedTokens: 0,
  busyFraction: 0,
  generatedTokens: 0,
  nextRoundTripMs: null,
  nextPath: null,
}

/**
 * The process of one stage, kept alive at one address. One that says itself why it cannot work is not started again, nor
 * is one that died too often.
 */
export class StageProcess {
  readonly #budget: RestartBudget
  #child: Child | null = null
  #enginePid: number | null = null
  #address: string | null = null
  #listening = false
  /** What the process of now was told. */
  #told: string | null = null
  #downstream: string | null = null
  #failure: string | null = null
  #load = idle
  #stopping = false
  #cancelWait: () => void = () => undefined

  constructor(
    private readonly options: StageProcessOptions,
    private readonly observer: StageProcessObserver,
    private readonly parts: StageProcessParts,
  ) {
    this.#budget = new RestartBudget(options.limits)
  }

  /** Process ids, its engine's included. */
  get pids(): readonly number[] {
    return [this.#child?.pid, this.#enginePid].filter((pid) => typeof pid === 'number')
  }

  get load(): StageLoad {
    return this.#load
  }

  start(): void {
    this.#spawn()
  }

  /** Where the next stage is; told whenever it changes, and again to a process that comes after this one. */
  link(downstream: string): void {
    this.#downstream = downstream
    this.#tell()
  }

  /** Ends it at once, and whatever it started. Resolves when it is gone. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#cancelWait()
    this.#child?.kill('SIGKILL')
    await this.#child?.gone(GONE_MS)
  }

  #spawn(): void {
    const { script, assignment, ringSecret, listenHost, logFile } = this.options
    const listen = this.#address === null ? `${listenHost}:0` : parsePeerAddress(this.#address).at
    this.#listening = false
    this.#told = null
    this.observer.onPhase({ phase: 'starting' })
    try {
      this.#child = this.parts.startChild({
        script,
        nodeFlags: NODE_FLAGS,
        args: [],
        env: { DEOS_ASSIGNMENT: JSON.stringify({ ...assignment, listen }), DEOS_RING_SECRET: ringSecret },
        logFile,
        onLine: (line) => {
          const event = parseWorkerEvent(line)
          if (event !== null) this.#heard(event)
        },
        onErrorLine: (line) => this.observer.onLogLine(line),
        onExit: (reason) => this.#exited(reason),
      })
    } catch (error) {
      this.#exited(describeError(error)) // no room for its log, for example
    }
  }

  #heard(event: WorkerEvent): void {
    const { observer } = this
    switch (event.event) {
      case 'listening': {
        const moved = event.address !== this.#address
        this.#address = event.address
        this.#listening = true
        if (moved) observer.onAddress(event.address)
        this.#tell()
        break
      }
      case 'loading': {
        const fraction = event.totalBytes > 0 ? Math.min(1, event.doneBytes / event.totalBytes) : 0
        observer.onPhase({ phase: 'loading', fraction })
        break
      }
      case 'ready':
        this.#enginePid = event.enginePid
        observer.onPhase({ phase: 'ready', device: event.device })
        break
      case 'engine-lost':
        this.#enginePid = null
        observer.onPhase({ phase: 'engine-lost', reason: event.reason })
        break
      case 'failed':
        this.#failure = event.message
        break
      case 'load':
        this.#load = event
    }
  }

  /** A process that does not listen yet could not use it. */
  #tell(): void {
    if (this.#downstream === null || !this.#listening || this.#told === this.#downstream) return
    this.#told = this.#downstream
    this.#child?.write(JSON.stringify({ downstream: this.#downstream }))
  }

  #exited(reason: string): void {
    this.#child = null
    this.#enginePid = null
    this.#load = idle
    if (this.#stopping) return
    const delayMs = this.#failure === null ? this.#budget.ended(this.parts.clock.now()) : null
    if (delayMs === null) {
      this.observer.onPhase({ phase: 'failed', reason: this.#failure ?? reason })
      return
    }
    this.observer.onPhase({ phase: 'restarting', reason, delayMs })
    this.#cancelWait = this.parts.after(delayMs, () => this.#spawn())
  }
}
