import { LlamaCppModel, type LlamaCppOptions } from '@deos/engine/testing'
import type { Contender } from './contender.ts'

/** llama.cpp as its own tools run it: synchronous calls, threads kept alive, logits of every row read. */
export class LlamaCppContender implements Contender {
  readonly #model: LlamaCppModel
  /** Tokens that each filled sequence holds. */
  #lengths: number[] = []

  constructor(path: string, options: LlamaCppOptions) {
    this.#model = LlamaCppModel.open(path, options)
  }

  async prefill(tokens: Int32Array): Promise<void> {
    await this.fill(1, tokens)
  }

  async fill(count: number, tokens: Int32Array): Promise<void> {
    this.#model.clear()
    for (let sequence = 0; sequence < count; sequence++) this.#model.prefillSync(sequence, tokens)
    this.#lengths = new Array<number>(count).fill(tokens.length)
  }

  async step(tokens: Int32Array): Promise<void> {
    const entries = Array.from(tokens, (token, sequence) => ({
      sequence,
      token,
      position: this.#lengths[sequence]!,
    }))
    this.#model.decodeSync(entries)
    for (const { sequence, position } of entries) this.#lengths[sequence] = position + 1
  }

  rewind(count: number, length: number): void {
    for (let sequence = 0; sequence < count; sequence++) {
      this.#model.truncate(sequence, length)
      this.#lengths[sequence] = length
    }
  }

  keep(count: number): void {
    for (const sequence of this.#lengths.splice(count).keys()) this.#model.truncate(count + sequence, 0)
  }

  close(): void {
    this.#model.close()
  }
}
