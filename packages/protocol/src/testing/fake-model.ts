import type { SampledToken, SamplingParams } from '@deos/domain'

/**
 * Arithmetic that stands in for a transformer: integers below 2^24, exact in float32, where every layer folds all
 * cached positions into its output. Any token, position, page, layer or session mixed up changes what is sampled.
 */

const LIMIT = 0xffffff

export function mix(a: number, b: number): number {
  let h = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(b + 0x7f4a7c15, 0xc2b2ae35)
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d)
  return (h ^ (h >>> 13)) >>> 0
}

export function embed(token: number, hiddenSize: number): Float32Array {
  return Float32Array.from({ length: hiddenSize }, (_, index) => mix(token, index) & LIMIT)
}

/** What a layer remembers of one position. */
export function cacheValue(row: Float32Array, layer: number): number {
  return row.reduce((hash, value) => mix(hash, value), layer)
}

/** One layer: attends to every cached value, its own position's included. */
export function attend(row: Float32Array, cached: Iterable<number>, layer: number): Float32Array {
  let sum = layer + 1
  for (const value of cached) sum = mix(sum, value)
  return row.map((value, index) => mix(mix(sum, value), index) & LIMIT)
}

/** @param generated - tokens generated so far: what penalties would look at */
export function sample(
  row: Float32Array,
  position: number,
  generated: readonly number[],
  params: SamplingParams,
  vocabSize: number,
): SampledToken {
  let hash = mix(position, Number(BigInt(params.seed) % 0xffffffffn))
  for (const value of row) hash = mix(hash, value)
  for (const token of generated) hash = mix(hash, token)
  const logprob = (n: number): number => -(mix(hash, n) % 1000) / 100
  if (params.logprobs === null) return { token: hash % vocabSize, logprobs: null }
  const top = Array.from({ length: params.logprobs }, (_, n) => ({
    token: mix(hash, n) % vocabSize,
    logprob: logprob(n),
  }))
  return { token: hash % vocabSize, logprobs: { logprob: logprob(-1), top } }
}

export interface FakeModel {
  readonly layers: number
  readonly hiddenSize: number
  readonly vocabSize: number
}

/** What an uninterrupted run would generate, computed without engines, pages or batches. */
export function fakeGeneration(
  model: FakeModel,
  prompt: Iterable<number>,
  params: SamplingParams,
  maxTokens: number,
  stopTokens: readonly number[],
): readonly number[] {
  const cache = Array.from({ length: model.layers }, (): number[] => [])
  let row: Float32Array = new Float32Array(0)
  let position = -1
  const feed = (token: number): void => {
    position += 1
    row = embed(token, model.hiddenSize)
    for (let layer = 0; layer < model.layers; layer++) {
      cache[layer]!.push(cacheValue(row, layer))
      row = attend(row, cache[layer]!, layer)
    }
  }
  for (const token of prompt) feed(token)
  const generated: number[] = []
  while (generated.length < maxTokens) {
    const { token } = sample(row, position, generated, params, model.vocabSize)
    generated.push(token)
    if (stopTokens.includes(token)) break
    if (generated.length < maxTokens) feed(token)
  }
  return generated
}
