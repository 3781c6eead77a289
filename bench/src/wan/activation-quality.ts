import type { ActivationCoding } from '@deos/domain'
import { quantile } from '../contract.ts'
import type { ActivationLab } from './activation-lab.ts'

export interface CodingQuality {
  /** Of float32, over those that went, in prompts and in steps of one token. */
  readonly promptRatio: number
  readonly decodeRatio: number
  readonly meanKl: number
  readonly p99Kl: number
  readonly top1Agreement: number
  readonly perplexityRatio: number
}

/** Tokens of each window that are read one by one. */
const DECODED = 16

/**
 * What a coding costs in bytes and in quality, beside the same stages with float32 between them: all positions of a
 * window but the first quarter count.
 *
 * @param windows - tokens of text, {@link DECODED} more than are read at once
 */
export async function codingQuality(
  lab: ActivationLab,
  windows: readonly Int32Array[],
  coding: ActivationCoding,
): Promise<CodingQuality> {
  const { vocabSize } = lab
  const kls: number[] = []
  let agreeing = 0
  let surprise = 0
  let promptBytes = 0
  let decodeBytes = 0
  for (const tokens of windows) {
    const exact = (await lab.read(tokens, DECODED, 'f32')).logits
    const found = await lab.read(tokens, DECODED, coding)
    promptBytes += found.promptBytes / windows.length
    decodeBytes += found.decodeBytes / windows.length
    const length = tokens.length - DECODED
    for (let at = Math.floor(length / 4); at < length; at += 1) {
      const p = logProbabilities(exact.subarray(at * vocabSize, (at + 1) * vocabSize))
      const q = logProbabilities(found.logits.subarray(at * vocabSize, (at + 1) * vocabSize))
      kls.push(divergence(p, q))
      if (likeliest(p) === likeliest(q)) agreeing += 1
      surprise += p[tokens[at + 1]!]! - q[tokens[at + 1]!]!
    }
  }
  return {
    promptRatio: lab.plainTokenBytes / promptBytes,
    decodeRatio: lab.plainTokenBytes / decodeBytes,
    meanKl: kls.reduce((sum, kl) => sum + kl, 0) / kls.length,
    p99Kl: quantile(kls, 0.99),
    top1Agreement: agreeing / kls.length,
    perplexityRatio: Math.exp(surprise / kls.length),
  }
}

/** Windows of a text, spread over all of it. */
export function textWindows(text: Int32Array, count: number, length: number): readonly Int32Array[] {
  const size = length + DECODED
  const stride = Math.floor((text.length - size) / Math.max(1, count - 1))
  if (stride < 1) throw new RangeError(`${text.length} tokens are too few for ${count} windows of ${size}.`)
  return Array.from({ length: count }, (_, index) => text.slice(index * stride, index * stride + size))
}

function logProbabilities(logits: Float32Array): Float64Array {
  let largest = Number.NEGATIVE_INFINITY
  for (const logit of logits) if (logit > largest) largest = logit
  let sum = 0
  for (const logit of logits) sum += Math.exp(logit - largest)
  const total = largest + Math.log(sum)
  return Float64Array.from(logits, (logit) => logit - total)
}

/** Kullback–Leibler, of the exact ones from those found. */
function divergence(exact: Float64Array, found: Float64Array): number {
  let sum = 0
  for (let token = 0; token < exact.length; token += 1)
    sum += Math.exp(exact[token]!) * (exact[token]! - found[token]!)
  return Math.max(0, sum)
}

function likeliest(values: Float64Array): number {
  let best = 0
  for (let index = 1; index < values.length; index += 1) if (values[index]! > values[best]!) best = index
  return best
}
