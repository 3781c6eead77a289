import type { Backend, Stage } from '@deos/engine'
import type { Contender } from './contender.ts'

/** A stage that holds the whole model, driven as a worker drives it. */
export class StageContender implements Contender {
  #sequences = 0

  constructor(
    private readonly stage: Stage,
    private readonly backend: Backend,
    /** Longest prompt chunk of one batch. */
    private readonly chunk: number,
  ) {}

  async prefill(tokens: Int32Array): Promise<void> {
    await this.fill(1, tokens)
  }

  async fill(count: number, tokens: Int32Array): Promise<void> {
    const { pages } = this.stage.kv
    pages.clear()
    this.#sequences = count
    for (let sequence = 0; sequence < count; sequence++) {
      pages.allocate(sequence)
      for (let first = 0; first < tokens.length; first += this.chunk) {
        const part = tokens.subarray(first, first + this.chunk)
        const outputs = first + part.length === tokens.length ? 'last' : 'none'
        await this.stage.forward({ entries: [{ sequence, count: part.length, outputs }], tokens: part })
      }
    }
  }

  async step(tokens: Int32Array): Promise<void> {
    const entries = Array.from(tokens, (_, sequence) => ({ sequence, count: 1, outputs: 'last' as const }))
    await this.stage.forward({ entries, tokens })
  }

  rewind(count: number, length: number): void {
    for (let sequence = 0; sequence < count; sequence++) this.stage.kv.pages.truncate(sequence, length)
  }

  keep(count: number): void {
    for (; this.#sequences > count; this.#sequences--) this.stage.kv.pages.release(this.#sequences - 1)
  }

  close(): void {
    this.stage.close()
    this.backend.close()
  }
}
