import { Backend, PooledSequences, Stage } from '@deos/engine'
import { type ModelSource, resolveStageWeights } from '@deos/engine/weights'
import type { Contender } from './contender.ts'

const pageTokens = 32
/** Longest prompt chunk of one batch: as many tokens as llama.cpp computes at once. */
const chunkTokens = 512

export interface StageContenderOptions {
  readonly source: ModelSource
  readonly threads: number
  /** Tokens each sequence may hold. */
  readonly context: number
  readonly sequences: number
  /** Where weights go that cannot be used as they lie in the source. */
  readonly cacheDir: string
}

/** A stage that holds the whole model, driven as a worker drives it. */
export class StageContender implements Contender {
  readonly #pages: PooledSequences
  #sequences = 0

  private constructor(
    private readonly stage: Stage,
    private readonly backend: Backend,
  ) {
    this.#pages = new PooledSequences([stage.kv.pages])
  }

  static async open(options: StageContenderOptions): Promise<StageContender> {
    const { source, threads, context, sequences, cacheDir } = options
    const { config } = source
    const whole = { layers: { first: 0, end: config.layers }, embedding: true, head: true }
    const weights = await resolveStageWeights({ source, ...whole, type: 'native', cacheDir })
    const pageCount = sequences * Math.ceil(context / pageTokens)
    // As a worker's engine process computes, and as llama.cpp is called here.
    const backend = Backend.open({ threads, inline: true })
    try {
      const kv = { type: 'F16', pageCount, pageTokens } as const
      const options = { config, ...whole, weights, kv, maxBatchTokens: chunkTokens }
      return new StageContender(await Stage.load(backend, options), backend)
    } catch (error) {
      backend.close()
      throw error
    }
  }

  async prefill(tokens: Int32Array): Promise<void> {
    await this.fill(1, tokens)
  }

  async fill(count: number, tokens: Int32Array): Promise<void> {
    this.#pages.clear()
    this.#sequences = count
    for (let sequence = 0; sequence < count; sequence++) {
      this.#pages.open(sequence)
      for (let first = 0; first < tokens.length; first += chunkTokens) {
        const part = tokens.subarray(first, first + chunkTokens)
        this.#pages.extend(sequence, part.length)
        const outputs = first + part.length === tokens.length ? 'last' : 'none'
        await this.stage.forward({ entries: [{ sequence, count: part.length, outputs }], tokens: part })
      }
    }
  }

  async step(tokens: Int32Array): Promise<void> {
    const entries = Array.from(tokens, (_, sequence) => ({ sequence, count: 1, outputs: 'last' as const }))
    for (const { sequence } of entries) this.#pages.extend(sequence, 1)
    await this.stage.forward({ entries, tokens })
  }

  rewind(count: number, length: number): void {
    for (let sequence = 0; sequence < count; sequence++) this.#pages.truncate(sequence, length)
  }

  keep(count: number): void {
    for (; this.#sequences > count; this.#sequences--) this.#pages.release(this.#sequences - 1)
  }

  close(): void {
    this.stage.close()
    this.backend.close()
  }
}
