/** Whoever has requests in the ring. */
export interface Tenant {
  readonly name: string
  /** Work done for it: a generated token counts twice what a prompt token does. */
  service: number
  /** Its sessions, waiting and running. */
  sessions: number
}

export const PROMPT_TOKEN_SERVICE = 1
export const GENERATED_TOKEN_SERVICE = 2

/** Tenants without sessions that are remembered because they are ahead of the others. */
const MAX_REMEMBERED = 1_024

/**
 * Virtual token counters: who received least goes first. Who comes back after a pause is lifted to the least of
 * those who stayed, so that idling earns nothing; who left ahead of the others stays ahead.
 *
 * @see Sheng et al. 2024, "Fairness in Serving Large Language Models" (arXiv:2401.00588)
 */
export class TenantShares {
  readonly #active = new Map<string, Tenant>()
  /** Service of tenants that left. */
  readonly #left = new Map<string, number>()
  /** What a tenant has that comes to an idle ring. */
  #level = 0

  /** A session of this tenant arrived. */
  enter(name: string): Tenant {
    let tenant = this.#active.get(name)
    if (tenant === undefined) {
      const service = Math.max(this.#left.get(name) ?? 0, this.#least)
      this.#left.delete(name)
      tenant = { name, service, sessions: 0 }
      this.#active.set(name, tenant)
    }
    tenant.sessions += 1
    return tenant
  }

  /** A session of this tenant is over. */
  leave(tenant: Tenant): void {
    tenant.sessions -= 1
    if (tenant.sessions > 0) return
    this.#active.delete(tenant.name)
    if (this.#active.size === 0) {
      this.#level = tenant.service
      this.#left.clear()
      return
    }
    this.#left.set(tenant.name, tenant.service)
    if (this.#left.size > MAX_REMEMBERED) this.#forget()
  }

  get #least(): number {
    if (this.#active.size === 0) return this.#level
    let least = Number.POSITIVE_INFINITY
    for (const { service } of this.#active.values()) least = Math.min(least, service)
    return least
  }

  /** Those that are not ahead need not be remembered; of the others, the ones furthest ahead stay. */
  #forget(): void {
    const least = this.#least
    const ahead = [...this.#left].filter(([, service]) => service > least).sort((a, b) => b[1] - a[1])
    this.#left.clear()
    for (const [name, service] of ahead.slice(0, MAX_REMEMBERED / 2)) this.#left.set(name, service)
  }
}
