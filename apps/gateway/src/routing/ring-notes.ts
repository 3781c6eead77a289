import type { Logger } from '@deos/service'

/** Logs what happens to a ring once, however often it is told: a peer that is away is dialled every few seconds. */
export class RingNotes {
  readonly #logger: Logger
  #lastNote = ''
  #ready: boolean | null = null

  constructor(logger: Logger) {
    this.#logger = logger
  }

  note(level: 'info' | 'warn', text: string): void {
    const withoutDelay = text.replace(/\d+ ms/, '')
    this.#logger[withoutDelay === this.#lastNote ? 'debug' : level](text)
    this.#lastNote = withoutDelay
  }

  /** @returns whether it changed */
  status(ready: boolean, epoch: number | null): boolean {
    if (ready === this.#ready) return false
    this.#ready = ready
    this.#lastNote = ''
    this.#logger.info({ epoch }, ready ? 'The ring is ready.' : 'The ring is not ready.')
    return true
  }
}
