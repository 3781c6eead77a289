export interface LogLine {
  /** ISO 8601, UTC. */
  readonly at: string
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly stageId: string | null
  readonly message: string
}

export interface LogShipperOptions {
  /** Lines kept until they are sent; of more, the oldest are given up. */
  readonly mostWaiting: number
  /** Lines of one call. */
  readonly mostAtOnce: number
}

export const defaultShipping: LogShipperOptions = { mostWaiting: 2_000, mostAtOnce: 100 }

const LONGEST_MESSAGE = 4_000
const REDACTED = '[redacted]'
const anyToken = /\bdeos_[a-z]_[A-Za-z0-9_-]{8,}/g

/** Lines on their way to the control plane. Secrets stay here, whoever wrote them into a line. */
export class LogShipper {
  #waiting: LogLine[] = []
  #given = 0
  #secrets: readonly string[] = []

  constructor(
    private readonly options: LogShipperOptions,
    private readonly now: () => Date,
  ) {}

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  /** What no line may contain. */
  hide(secrets: readonly string[]): void {
    this.#secrets = secrets
  }

  add(line: Omit<LogLine, 'at'>): void {
    const message = this.#clean(line.message)
    this.#waiting.push({ ...line, message, at: this.now().toISOString() })
    const tooMany = this.#waiting.length - this.options.mostWaiting
    if (tooMany <= 0) return
    this.#waiting.splice(0, tooMany)
    this.#given += tooMany
  }

  /** The next lines to send, oldest first. They are here until {@link sent} is called with them. */
  next(): readonly LogLine[] {
    if (this.#given > 0) {
      const message = `${this.#given} older lines were given up: they came faster than they could be sent.`
      this.#given = 0
      this.#waiting.unshift({ at: this.now().toISOString(), level: 'warn', stageId: null, message })
    }
    return this.#waiting.slice(0, this.options.mostAtOnce)
  }

  sent(lines: readonly LogLine[]): void {
    const gone = new Set(lines)
    this.#waiting = this.#waiting.filter((line) => !gone.has(line))
  }

  #clean(message: string): string {
    const hidden = this.#secrets.reduce((text, secret) => text.replaceAll(secret, REDACTED), message)
    return hidden.replace(anyToken, REDACTED).slice(0, LONGEST_MESSAGE)
  }
}
