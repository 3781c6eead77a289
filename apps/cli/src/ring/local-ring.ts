import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock, DomainError } from '@deos/domain'
import { createRunFolder, defaultRestartLimits, startChild } from '@deos/service'
import { ServerClient } from '../http/server-client.ts'
import { builtScript } from '../package-root.ts'
import { KeptProcess } from '../processes/kept-process.ts'
import { GATEWAY_STOP_MS, ringGateway } from './gateway-process.ts'
import { checkPort } from './port-check.ts'
import type { RingPlan } from './ring-plan.ts'
import { RingProcesses } from './ring-processes.ts'
import type { WorkerPhase } from './ring-supervision.ts'

export interface LocalRingOptions {
  /** Rings of one model, which requests are shared out to. */
  readonly plans: readonly RingPlan[]
  readonly host: string
  readonly port: number
  readonly apiKey: string | null
  readonly home: string
}

export interface LocalRingObserver {
  /** @param worker - of all rings, one ring after another */
  onPhase(worker: number, phase: WorkerPhase): void
  onGatewayRestart(reason: string, delayMs: number): void
}

const READY_POLL_MS = 50
const WORKER_STOP_MS = 5_000

const clock: Clock = { now: () => performance.now() as ReturnType<Clock['now']> }

const after = (delayMs: number, then: () => void): (() => void) => {
  const timer = setTimeout(then, delayMs)
  return () => clearTimeout(timer)
}

/** Workers and a gateway on this machine, serving one model over one ring or several. */
export class LocalRing {
  #url = ''
  #lose: (error: DomainError) => void = () => undefined
  /** Rejects when a process dies for good; never resolves. */
  readonly lost: Promise<never>
  readonly runFolder: string
  readonly #rings: readonly RingProcesses[]
  #gateway: KeptProcess | null = null
  readonly #ringSecret = randomBytes(32).toString('hex')

  private constructor(
    private readonly options: LocalRingOptions,
    private readonly observer: LocalRingObserver,
  ) {
    this.lost = new Promise((_, reject) => {
      this.#lose = reject
    })
    this.lost.catch(() => undefined)
    this.runFolder = createRunFolder(options.home)
    let before = 0
    this.#rings = options.plans.map((plan) => {
      const first = before
      before += plan.assignments.length
      return new RingProcesses(
        {
          plan,
          script: builtScript('worker'),
          ringSecret: this.#ringSecret,
          runFolder: this.runFolder,
          limits: defaultRestartLimits,
        },
        {
          onPhase: (worker, phase) => observer.onPhase(first + worker, phase),
          onLost: (error) => this.#lose(error),
        },
        { startChild, clock, after },
      )
    })
  }

  /**
   * Starts everything and returns when the first token has been generated. When it throws, nothing is left running.
   *
   * @throws PortError, WorkerLostError, ProcessLostError; the signal's reason when aborted
   */
  static async start(
    options: LocalRingOptions,
    observer: LocalRingObserver,
    signal: AbortSignal,
  ): Promise<LocalRing> {
    await checkPort(options.host, options.port)
    const ring = new LocalRing(options, observer)
    const failed = new AbortController()
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
    try {
      signal.throwIfAborted()
      await Promise.race([ring.#begin(failed.signal), ring.lost, aborted])
      return ring
    } catch (error) {
      failed.abort(error)
      await ring.stop(0)
      throw error
    }
  }

  /** Where clients reach the API: `http://127.0.0.1:8000`. */
  get url(): string {
    return this.#url
  }

  get workerPids(): readonly (number | null)[] {
    return this.#rings.flatMap(({ pids }) => pids)
  }

  get gatewayPid(): number | null {
    return this.#gateway?.pid ?? null
  }

  /**
   * Finishes what was accepted, then ends every process, first the one that takes requests.
   *
   * @param patience - 1 waits as long as is usual, 0 not at all
   */
  async stop(patience = 1): Promise<void> {
    await this.#gateway?.stop(GATEWAY_STOP_MS * patience)
    await Promise.all(this.#rings.map((ring) => ring.stop(WORKER_STOP_MS * patience)))
  }

  async #begin(signal: AbortSignal): Promise<void> {
    const { plans, host, port, apiKey } = this.options
    const addresses = await Promise.all(this.#rings.map((ring) => ring.start()))
    // Whoever gave up meanwhile has stopped what there was; nothing may start after that.
    signal.throwIfAborted()
    const { model, adapters } = plans[0]!.assignments[0]!
    this.#gateway = new KeptProcess(
      ringGateway({
        script: builtScript('gateway'),
        runFolder: this.runFolder,
        ringSecret: this.#ringSecret,
        apiKey,
        host,
        port,
        rings: plans.map(({ assignments }, at) => ({
          ring: assignments[0]!.ring,
          leader: addresses[at]![0]!,
          tail: addresses[at]!.at(-1)!,
        })),
        model,
        adapters: adapters.map(({ name }) => name),
        limits: defaultRestartLimits,
      }),
      {
        onRestart: (reason, delayMs) => this.observer.onGatewayRestart(reason, delayMs),
        onLost: (error) => this.#lose(error),
      },
      { startChild, clock, after },
    )
    this.#url = String((await this.#gateway.start()).url)
    await this.#proveReady(model.id, signal)
  }

  #allReady(): boolean {
    return this.#rings.every(({ phases }) => phases.every(({ phase }) => phase === 'ready'))
  }

  /** Ready is what has answered: one real token, once all workers are there. */
  async #proveReady(model: string, signal: AbortSignal): Promise<void> {
    const client = new ServerClient(new URL(this.#url), this.options.apiKey)
    try {
      while ((await client.ready()) !== true || !this.#allReady())
        await sleep(READY_POLL_MS, null, { signal })
      await client.complete({ model, prompt: 'The', max_tokens: 1, temperature: 0 }, signal)
    } finally {
      await client.close()
    }
  }
}
