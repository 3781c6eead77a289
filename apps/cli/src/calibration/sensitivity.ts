import {
  type CalibrationContext,
  type KvPart,
  narrowToHalves,
  partName,
  SINK_TOKENS,
  widenHalves,
} from '@deos/codec'
import type { ModelCaches } from './model-caches.ts'

/** A context and what comes after it in the text. */
export interface Continuation {
  readonly cache: CalibrationContext
  readonly next: Int32Array
}

/** Noise of this share of a part's deviation: small enough for divergence to grow with its square. */
const NOISE = 0.25

/**
 * How much divergence a part's mean squared error causes, in nats for each unit: noise of a known size goes into one part
 * at a time.
 */
export async function measureSensitivity(
  model: ModelCaches,
  trials: readonly Continuation[],
  progress: (part: KvPart) => void,
): Promise<ReadonlyMap<string, number>> {
  const exact: Float32Array[] = []
  for (const { cache, next } of trials)
    exact.push(logProbabilities(await model.follow(cache, next), model.vocabSize))
  const result = new Map<string, number>()
  for (const part of model.parts) {
    progress(part)
    let [divergences, variances] = [0, 0]
    for (const [index, { cache, next }] of trials.entries()) {
      const reach = NOISE * deviationOf(cache.values(part))
      const noisy = withNoise(cache, part, reach)
      const found = logProbabilities(await model.follow(noisy, next), model.vocabSize)
      divergences += meanDivergence(exact[index]!, found, model.vocabSize)
      variances += reach ** 2 / 3
    }
    result.set(partName(part), divergences / Math.max(variances, 1e-12))
  }
  return result
}

function withNoise(cache: CalibrationContext, part: KvPart, reach: number): CalibrationContext {
  const values = widenHalves(cache.values(part))
  let state = 12_345
  for (let index = SINK_TOKENS * part.channels; index < values.length; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    values[index] = values[index]! + reach * (state / 2 ** 31 - 1)
  }
  const changed = narrowToHalves(values)
  const name = partName(part)
  return { ...cache, values: (other) => (partName(other) === name ? changed : cache.values(other)) }
}

function deviationOf(halves: Uint16Array): number {
  const values = widenHalves(halves)
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length)
}

function meanDivergence(p: Float32Array, q: Float32Array, vocabSize: number): number {
  let sum = 0
  for (let index = 0; index < p.length; index += 1) sum += Math.exp(p[index]!) * (p[index]! - q[index]!)
  return Math.max(0, sum) / (p.length / vocabSize)
}

/** In place. */
function logProbabilities(logits: Float32Array, vocabSize: number): Float32Array {
  for (let start = 0; start < logits.length; start += vocabSize) {
    const row = logits.subarray(start, start + vocabSize)
    let largest = Number.NEGATIVE_INFINITY
    for (const value of row) largest = Math.max(largest, value)
    let sum = 0
    for (const value of row) sum += Math.exp(value - largest)
    const total = largest + Math.log(sum)
    for (let index = 0; index < vocabSize; index += 1) row[index] = row[index]! - total
  }
  return logits
}
