import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '@deos/domain'
import { type ApiClient, ApiError } from '@deos/sdk'

/** What is to be true in the end of a deployment that was accepted. */
export interface AcceptedWish {
  readonly id: string
  readonly name: string
  readonly replicas: number
  readonly sessions: number
}

export interface OperatorOptions {
  readonly name: string
  readonly modelId: string
  readonly random: Random
  /** A control plane that lives, any of them. */
  readonly client: () => ApiClient
  /** Least and most sessions that it wishes for. */
  readonly sessions: readonly [number, number]
  readonly mostReplicas: number
}

type Wish = AcceptedWish & { readonly revision: number }

/**
 * Somebody who wishes for one deployment after the other and changes their mind, each time at another control plane. When
 * one dies before it has answered, the wish is looked up at another one, and made there if it was lost.
 */
export class SimulatedOperator {
  /** Wishes that were accepted, by kind. */
  readonly accepted = new Map<string, number>()
  readonly removed: string[] = []
  #wish: Wish | null = null
  #deployments = 0

  constructor(private readonly options: OperatorOptions) {}

  get wish(): AcceptedWish | null {
    return this.#wish
  }

  async act(): Promise<void> {
    const wish = this.#wish
    if (wish === null) return this.create()
    const dice = this.#pick(10)
    if (dice < 4) return this.scale(this.#pick(this.options.mostReplicas + 1))
    if (dice < 7) return this.#revise(wish)
    if (dice < 8 && wish.revision > 1) return this.#rollback(wish)
    if (dice < 9) return this.scale(this.options.mostReplicas)
    return this.#remove(wish)
  }

  async create(): Promise<void> {
    const { modelId, mostReplicas } = this.options
    this.#deployments += 1
    const name = `${this.options.name}-${this.#deployments}`
    const sessions = this.#sessions()
    const replicas = 1 + this.#pick(mostReplicas)
    const body = {
      ...{ name, servedAs: name, replicas },
      spec: { modelId, sessions, replicas: { min: 0, max: mostReplicas } },
    }
    const find = async () => {
      const { items } = await this.#client().deployments.list({ query: { name } })
      return items[0] ?? null
    }
    const { id } = await this.#settle(
      'create',
      (idempotencyKey) => this.#client().deployments.create({ body, idempotencyKey }),
      find,
    )
    this.#wish = { id, name, replicas, sessions, revision: 1 }
  }

  async scale(replicas: number): Promise<void> {
    const wish = this.#wish!
    await this.#settle(
      'scale',
      () => this.#client().deployments.scale({ params: { deployment: wish.id }, body: { replicas } }),
      () => this.#lookUp(wish.id, ({ replicas: { wanted } }) => wanted === replicas),
    )
    this.#wish = { ...wish, replicas }
  }

  async #revise(wish: Wish): Promise<void> {
    const sessions = this.#sessions()
    const call = { params: { deployment: wish.id }, body: { changes: { sessions } } }
    const { revision } = await this.#settle(
      'revise',
      (idempotencyKey) => this.#client().deployments.revise({ ...call, idempotencyKey }),
      () => this.#lookUp(wish.id, ({ spec }) => spec.sessions === sessions),
    )
    this.#wish = { ...wish, sessions, revision }
  }

  async #rollback(wish: Wish): Promise<void> {
    const revision = wish.revision - 1
    const deployment = wish.id
    const { spec } = await this.#settle(
      'rollback',
      () => this.#client().deployments.rollback({ params: { deployment }, body: { revision } }),
      () => this.#lookUp(deployment, (shown) => shown.revision === revision),
    )
    this.#wish = { ...wish, sessions: spec.sessions, revision }
  }

  async #remove({ id: deployment, name }: Wish): Promise<void> {
    await this.#settle(
      'remove',
      () => this.#client().deployments.remove({ params: { deployment } }),
      async () => {
        try {
          return await this.#lookUp(deployment, ({ state }) => state === 'removing')
        } catch (error) {
          if (error instanceof ApiError && error.problemName === 'not-found') return 'gone' as const
          throw error
        }
      },
    )
    this.#wish = null
    this.removed.push(name)
  }

  /** @returns null if it is not (yet) so */
  async #lookUp(id: string, isSo: (deployment: Shown) => boolean): Promise<Shown | null> {
    const { deployment } = await this.#client().deployments.show({ params: { deployment: id } })
    return isSo(deployment) ? deployment : null
  }

  /** Until it was accepted, once. */
  async #settle<T>(
    kind: string,
    make: (idempotencyKey: string) => Promise<T>,
    lookUp: () => Promise<T | null>,
  ): Promise<T> {
    const result = await this.#made(make, lookUp)
    this.accepted.set(kind, (this.accepted.get(kind) ?? 0) + 1)
    return result
  }

  async #made<T>(make: (idempotencyKey: string) => Promise<T>, lookUp: () => Promise<T | null>): Promise<T> {
    for (let lost = false; ; ) {
      try {
        return await make(randomUUID())
      } catch (error) {
        // The lost one was accepted after all, and this was not known here when it was looked up.
        const isRepeated = lost && error instanceof ApiError && error.problemName === 'conflict'
        if (!isLost(error) && !isRepeated) throw error
        lost = true
      }
      // What the dead one has sent to the database may still be on its way.
      await sleep(100)
      const known = await untilAnswered(lookUp)
      if (known !== null) return known
    }
  }

  #client(): ApiClient {
    return this.options.client()
  }

  #pick(count: number): number {
    return Math.floor(this.options.random.next() * count)
  }

  #sessions(): number {
    const [least, most] = this.options.sessions
    return least + this.#pick(most - least + 1)
  }
}

type Shown = Awaited<ReturnType<ApiClient['deployments']['show']>>['deployment']

/** Nobody answered: whether it was done is not known. */
const isLost = (error: unknown): boolean => error instanceof ApiError && error.status === null

export async function untilAnswered<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!isLost(error)) throw error
      await sleep(50)
    }
  }
}
