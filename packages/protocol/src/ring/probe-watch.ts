interface Outstanding {
  readonly sequence: number
  readonly sentMs: number
}

/** Knows when to send the next probe and whether one is overdue. */
export class ProbeWatch {
  #sequence = 0
  #lastSentMs = Number.NEGATIVE_INFINITY
  #outstanding: readonly Outstanding[] = []

  constructor(
    private readonly intervalMs: number,
    private readonly timeoutMs: number,
  ) {}

  due(nowMs: number): boolean {
    return nowMs - this.#lastSentMs >= this.intervalMs
  }

  /** Returns the sequence number of the probe now sent. */
  sent(nowMs: number): number {
    this.#lastSentMs = nowMs
    this.#sequence += 1
    this.#outstanding = [...this.#outstanding.slice(-63), { sequence: this.#sequence, sentMs: nowMs }]
    return this.#sequence
  }

  /**
   * A probe that returns answers for all before it.
   *
   * @returns how long it was under way, or null if nobody knows
   */
  returned(sequence: number, nowMs: number): number | null {
    const sent = this.#outstanding.find((probe) => probe.sequence === sequence)
    this.#outstanding = this.#outstanding.filter((probe) => probe.sequence > sequence)
    return sent === undefined ? null : nowMs - sent.sentMs
  }

  overdue(nowMs: number): boolean {
    const oldest = this.#outstanding[0]
    return oldest !== undefined && nowMs - oldest.sentMs > this.timeoutMs
  }

  /** A new epoch: probes of the old one never come back. */
  restart(): void {
    this.#outstanding = []
  }
}
