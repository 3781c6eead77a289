import type { RingUsage } from '@deos/protocol'
import type { Backend, BackendStatus, EmbedRequest, GenerateEvent, GenerateRequest } from './backend.ts'

/** Backends that hold the same model: each request goes to the ready one that has least to do. */
export class SeveralBackends implements Backend {
  readonly #backends: readonly Backend[]
  /** Requests of ours at each, of which it may not have told yet. */
  readonly #open: number[]
  #next = 0

  /** @param backends - at least one */
  constructor(backends: readonly Backend[]) {
    this.#backends = backends
    this.#open = backends.map(() => 0)
  }

  /** Sums over all; ready if one is. */
  status(): BackendStatus {
    const all = this.#backends.map((backend) => backend.status())
    const lengths = all.flatMap(({ contextLength }) => contextLength ?? [])
    const usages = all.flatMap(({ usage }) => usage ?? [])
    return {
      ready: all.some(({ ready }) => ready),
      active: all.reduce((sum, { active }) => sum + active, 0),
      queued: all.reduce((sum, { queued }) => sum + queued, 0),
      contextLength: lengths.length === 0 ? null : Math.min(...lengths),
      usage: usages.length === 0 ? null : usages.reduce(added),
      details: { rings: all.map(({ ready, details }) => ({ ready, ...details })) },
    }
  }

  async *generate(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent, void> {
    const at = this.#choose()
    this.#open[at]! += 1
    try {
      yield* this.#backends[at]!.generate(request, signal)
    } finally {
      this.#open[at]! -= 1
    }
  }

  async embed(request: EmbedRequest, signal: AbortSignal): Promise<Float32Array> {
    const at = this.#choose()
    this.#open[at]! += 1
    try {
      return await this.#backends[at]!.embed(request, signal)
    } finally {
      this.#open[at]! -= 1
    }
  }

  /** Of those that have equally little to do, one after the other. */
  #choose(): number {
    const count = this.#backends.length
    const inTurn = Array.from({ length: count }, (_, step) => (this.#next + step) % count)
    this.#next = (this.#next + 1) % count
    const ready = inTurn.filter((at) => this.#backends[at]!.status().ready)
    const among = ready.length > 0 ? ready : inTurn
    return among.reduce((least, at) => (this.#open[at]! < this.#open[least]! ? at : least))
  }
}

const added = (a: RingUsage, b: RingUsage): RingUsage => ({
  pages: a.pages + b.pages,
  pagesFree: a.pagesFree + b.pagesFree,
  pagesCached: a.pagesCached + b.pagesCached,
  promptTokens: a.promptTokens + b.promptTokens,
  cachedTokens: a.cachedTokens + b.cachedTokens,
  generatedTokens: a.generatedTokens + b.generatedTokens,
  evictions: a.evictions + b.evictions,
  preemptions: a.preemptions + b.preemptions,
  recomputedTokens: a.recomputedTokens + b.recomputedTokens,
})
