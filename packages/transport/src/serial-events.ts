/** Handles events one after another, in order: those that handling one causes wait their turn. */
export class SerialEvents<Event> {
  readonly #waiting: Event[] = []
  #handling = false

  constructor(private readonly handle: (event: Event) => void) {}

  push(event: Event): void {
    this.#waiting.push(event)
    if (this.#handling) return
    this.#handling = true
    try {
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift())
        this.handle(next)
    } finally {
      this.#handling = false
    }
  }
}
