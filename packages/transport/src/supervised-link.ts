import type { Random } from '@deos/domain'
import type { Message } from '@deos/protocol'
import type { Link, Transport } from './link.ts'
import type { Timers } from './timers.ts'

export interface SupervisedLinkOptions {
  readonly address: string
  /** Wait before the second attempt; doubles with each failure. */
  readonly firstDelayMs: number
  readonly maxDelayMs: number
}

export interface SupervisedLinkHandlers {
  onUp(link: Link): void
  onMessage(message: Message, link: Link): void
  onDown(reason: string): void
  /** An attempt failed; the next follows after the delay. */
  onRetry(error: unknown, delayMs: number): void
}

/** Keeps one outgoing link alive: connects, and after any failure again, less and less often but never not. */
export class SupervisedLink {
  #link: Link | null = null
  #attempts = 0
  #upSinceMs = 0
  #cancelRetry: () => void = () => {}
  #abort = new AbortController()
  #state: 'idle' | 'running' | 'stopped' = 'idle'
  /** Links that ended, perhaps before the promise of `connect` told of them. */
  readonly #lost = new WeakSet<Link>()

  constructor(
    private readonly options: SupervisedLinkOptions,
    private readonly transport: Transport,
    private readonly timers: Timers,
    private readonly random: Random,
    private readonly handlers: SupervisedLinkHandlers,
  ) {}

  /** The link while it is up. */
  get link(): Link | null {
    return this.#link
  }

  start(): void {
    if (this.#state !== 'idle') return
    this.#state = 'running'
    void this.#connect()
  }

  /** After this no handler is called any more. */
  stop(): void {
    this.#state = 'stopped'
    this.#cancelRetry()
    this.#abort.abort()
    this.#link?.close('this side stopped')
    this.#link = null
  }

  async #connect(): Promise<void> {
    this.#attempts += 1
    try {
      const link = await this.transport.connect(
        this.options.address,
        {
          onMessage: (message, self) => this.#message(message, self),
          onClose: (reason, self) => this.#closed(reason, self),
        },
        this.#abort.signal,
      )
      this.#up(link)
    } catch (error) {
      this.#retry(error)
    }
  }

  /** Messages may arrive before the promise of `connect` has run its course. */
  #up(link: Link): void {
    if (this.#link === link || this.#lost.has(link)) return
    if (this.#state !== 'running') {
      link.close('this side stopped')
      return
    }
    this.#link = link
    this.#upSinceMs = this.timers.now()
    this.handlers.onUp(link)
  }

  #message(message: Message, link: Link): void {
    if (this.#state !== 'running') return
    this.#up(link)
    if (this.#link === link) this.handlers.onMessage(message, link)
  }

  #closed(reason: string, link: Link): void {
    this.#lost.add(link)
    if (this.#state !== 'running') return
    const wasUp = this.#link === link
    this.#link = null
    // A link that held for a while failed by chance; one that dies at once will do so again.
    if (this.timers.now() - this.#upSinceMs > this.options.firstDelayMs * 10) this.#attempts = 0
    if (wasUp) this.handlers.onDown(reason)
    this.#retry(new Error(reason))
  }

  #retry(error: unknown): void {
    if (this.#state !== 'running') return
    const ceiling = Math.min(
      this.options.maxDelayMs,
      this.options.firstDelayMs * 2 ** Math.min(30, this.#attempts),
    )
    const delayMs = Math.round(ceiling * (0.5 + this.random.next() / 2))
    this.#cancelRetry = this.timers.after(delayMs, () => void this.#connect())
    this.handlers.onRetry(error, delayMs)
  }
}
