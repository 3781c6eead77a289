import type { SampledToken, SamplingParams } from '@deos/domain'
import { type Pooling, plainNeeds, type SessionNeeds } from '../messages.ts'

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

/** Adapters change what enters the first layer. */
export const adapted = (row: Float32Array, adapter: string | null): Float32Array =>
  adapter === null ? row : row.map((value) => value ^ adapter.length)

/** A fake grammar is the list of tokens that may be sampled. */
export const fakeGrammarPattern = /^\d+(,\d+)*$/

export function allowed(sampled: SampledToken, grammar: string | null): SampledToken {
  if (grammar === null) return sampled
  const tokens = grammar.split(',').map(Number)
  return { ...sampled, token: tokens[sampled.token % tokens.length]! }
}

/** Accumulates what pooling of a text is made of. */
export function poolRow(sum: Float32Array, row: Float32Array): void {
  for (const [index, value] of row.entries()) sum[index]! += value
}

export const meanRow = (sum: Float32Array, length: number): Float32Array => sum.map((value) => value / length)

export interface FakeModel {
  readonly layers: number
  readonly hiddenSize: number
  readonly vocabSize: number
}

/** The whole model over one sequence: each call appends a token and returns its last hidden state. */
function fakeForward(model: FakeModel, adapter: string | null): (token: number) => Float32Array {
  const cache = Array.from({ length: model.layers }, (): number[] => [])
  return (token) => {
    let row = adapted(embed(token, model.hiddenSize), adapter)
    for (let layer = 0; layer < model.layers; layer++) {
      cache[layer]!.push(cacheValue(row, layer))
      row = attend(row, cache[layer]!, layer)
    }
    return row
  }
}

/** What {@link fakeGeneration} is for tokens, for one vector. */
export function fakeEmbedding(
  model: FakeModel,
  prompt: Iterable<number>,
  pooling: Pooling,
  adapter: string | null = null,
): Float32Array {
  const forward = fakeForward(model, adapter)
  const sum = new Float32Array(model.hiddenSize)
  let last: Float32Array = sum
  let length = 0
  for (const token of prompt) {
    last = forward(token)
    poolRow(sum, last)
    length += 1
  }
  return pooling === 'last' ? last : meanRow(sum, length)
}

/** What an uninterrupted run would generate, computed without engines, pages or batches. */
export function fakeGeneration(
  model: FakeModel,
  prompt: Iterable<number>,
  params: SamplingParams,
  maxTokens: number,
  stopTokens: readonly number[],
  needs: SessionNeeds = plainNeeds,
): readonly number[] {
  const forward = fakeForward(model, needs.adapter)
  let row: Float32Array = new Float32Array(0)
  let position = -1
  const feed = (token: number): void => {
    position += 1
    row = forward(token)
  }
  for (const token of prompt) feed(token)
  const generated: number[] = []
  while (generated.length < maxTokens) {
    const sampled = sample(row, position, generated, params, model.vocabSize)
    const { token } = allowed(sampled, needs.grammar)
    generated.push(token)
    if (stopTokens.includes(token)) break
    if (generated.length < maxTokens) feed(token)
  }
  return generated
}
