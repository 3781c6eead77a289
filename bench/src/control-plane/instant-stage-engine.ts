import type {
  EngineKv,
  EngineSession,
  EngineStep,
  EngineStepResult,
  RingCapacity,
  SessionKey,
  StageEngine,
} from '@deos/protocol'

export interface InstantStageOptions {
  /** Whether it holds the head, and so samples. */
  readonly isLast: boolean
  readonly hiddenSize: number
  /** What every session is given, again and again. */
  readonly token: number
  readonly capacity: RingCapacity
}

/** Executor of one stage that computes nothing: whatever else a request costs is left over. */
export class InstantStageEngine implements StageEngine {
  readonly capacity: RingCapacity
  /** It remembers nothing. */
  readonly kv: EngineKv = { layers: { first: 0, end: 0 }, type: 'none', layouts: [] }
  readonly #pages = new Map<SessionKey, Set<number>>()

  constructor(private readonly options: InstantStageOptions) {
    this.capacity = options.capacity
  }

  prepare(): Promise<void> {
    return Promise.resolve()
  }

  open({ key, pages }: EngineSession): void {
    this.#pages.set(key, new Set(pages))
  }

  close(key: SessionKey): void {
    this.#pages.delete(key)
  }

  step({ entries }: EngineStep): Promise<EngineStepResult> {
    const { isLast, hiddenSize, token } = this.options
    let tokens = 0
    for (const { key, count, pages } of entries) {
      tokens += count
      const held = this.#pages.get(key)
      for (const page of pages) held?.add(page)
    }
    return Promise.resolve({
      hidden: new Uint8Array(isLast ? 0 : tokens * hiddenSize * Float32Array.BYTES_PER_ELEMENT),
      sampled: isLast ? entries.filter(({ sample }) => sample).map(() => ({ token, logprobs: null })) : [],
      pooled: [],
      computeUs: 1,
    })
  }

  readKv(): Promise<Uint8Array> {
    return Promise.reject(new Error('An engine that computes nothing has no K and V.'))
  }

  writeKv(): Promise<void> {
    return Promise.reject(new Error('An engine that computes nothing takes no K and V.'))
  }

  reset(): Promise<void> {
    this.#pages.clear()
    return Promise.resolve()
  }

  freePages(): Promise<number> {
    const held = new Set([...this.#pages.values()].flatMap((pages) => [...pages]))
    return Promise.resolve(this.capacity.kvPages - held.size)
  }

  stop(): Promise<void> {
    this.#pages.clear()
    return Promise.resolve()
  }
}
