/**
 * Incoming connections that have proved nothing yet, counted by where they come from: whoever opens many and says
 * nothing takes no place of anybody else.
 */
export class Unproven {
  readonly #byHost = new Map<string, number>()

  /** @param most - of one host at once */
  constructor(private readonly most: number) {}

  of(host: string): number {
    return this.#byHost.get(host) ?? 0
  }

  /** @returns to be called when it has proved itself or is gone, once or oftener; null if the host has too many */
  begin(host: string): (() => void) | null {
    const begun = this.of(host)
    if (begun >= this.most) return null
    this.#byHost.set(host, begun + 1)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      const left = this.of(host) - 1
      if (left === 0) this.#byHost.delete(host)
      else this.#byHost.set(host, left)
    }
  }
}
