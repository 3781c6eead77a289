/** How much each host has of what is scarce, so that none takes the places of the others. */
export class HostQuota {
  readonly #byHost = new Map<string, number>()

  /** @param most - of one host at once */
  constructor(private readonly most: number) {}

  of(host: string): number {
    return this.#byHost.get(host) ?? 0
  }

  /** @returns gives it back, once however often it is called; null if the host has as much as it may */
  take(host: string): (() => void) | null {
    const taken = this.of(host)
    if (taken >= this.most) return null
    this.#byHost.set(host, taken + 1)
    let isBack = false
    return () => {
      if (isBack) return
      isBack = true
      const left = this.of(host) - 1
      if (left === 0) this.#byHost.delete(host)
      else this.#byHost.set(host, left)
    }
  }
}
