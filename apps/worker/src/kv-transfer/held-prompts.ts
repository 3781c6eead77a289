import type { SessionId } from '@deos/domain'
import type { EngineSession, SessionKey, StepEntry } from '@deos/protocol'

/** A prompt that is computed here for another ring. */
export interface HeldPrompt {
  readonly id: SessionId
  readonly key: SessionKey
  readonly pages: number[]
  /** Positions whose KV is there. */
  computed: number
}

/** Prompts of this stage that end before anything is sampled, with their pages. */
export class HeldPrompts {
  readonly #byId = new Map<SessionId, HeldPrompt>()
  readonly #byKey = new Map<SessionKey, HeldPrompt>()

  get(id: SessionId): HeldPrompt | undefined {
    return this.#byId.get(id)
  }

  byKey(key: SessionKey): HeldPrompt | undefined {
    return this.#byKey.get(key)
  }

  opened(id: SessionId, { key, maxTokens, cachedTokens, pages }: EngineSession): HeldPrompt | null {
    if (maxTokens > 0) return null
    const held: HeldPrompt = { id, key, pages: [...pages], computed: cachedTokens }
    this.#byId.set(id, held)
    this.#byKey.set(key, held)
    return held
  }

  /** @returns the prompts that got further */
  computed(entries: readonly StepEntry[]): readonly HeldPrompt[] {
    return entries.flatMap(({ key, position, count, pages }) => {
      const held = this.#byKey.get(key)
      if (held === undefined) return []
      held.pages.push(...pages)
      held.computed = position + count
      return [held]
    })
  }

  closed(key: SessionKey): void {
    const held = this.#byKey.get(key)
    if (held === undefined) return
    this.#byKey.delete(key)
    if (this.#byId.get(held.id) === held) this.#byId.delete(held.id)
  }

  clear(): void {
    this.#byId.clear()
    this.#byKey.clear()
  }
}
