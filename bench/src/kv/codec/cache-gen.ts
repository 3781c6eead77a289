import { type KvPart, widenHalves } from '@deos/codec'
import type { MatrixCoder } from './alternatives.ts'
import type { ContextCache } from './cache-lab.ts'

/** Tokens of a group: the first is the anchor, the others are sent as what they differ from it by. */
const GROUP_TOKENS = 10
/** Bins of anchors: 8 bits over the range of a channel. */
const ANCHOR_BINS = 256

interface PartTables {
  /** Deviation of differences, by channel. */
  readonly spread: Float32Array
  readonly range: Float32Array
  /** Bits of each bin, by channel: `[channels, 2·REACH + 1]`. */
  readonly bits: Float32Array
}

const REACH = 64

/** Bins of differences grow with depth: the first third of the layers the finest. */
const depthFactor = (layer: number, layers: number): number => 1 + 0.5 * Math.floor((3 * layer) / layers)

/**
 * Differences from an anchor token in uniform bins, arithmetic-coded with tables for each layer and channel that were
 * made from calibration caches. Counted is the ideal length of the code, which no coder undercuts.
 *
 * @param bin - width in deviations of a channel's differences
 * @see Liu et al. 2024, "CacheGen" (arXiv:2310.07240)
 */
export function cacheGenCoder(
  calibration: readonly ContextCache[],
  channels: number,
  bin: number,
): MatrixCoder {
  const layers = calibration[0]!.length
  const tables = new Map<string, PartTables>()
  const tableOf = ({ layer, part }: KvPart): PartTables => {
    const key = `${part}${layer}`
    const known = tables.get(key)
    if (known) return known
    const width = bin * depthFactor(layer, layers)
    const made = makeTables(
      calibration.map((cache) => widenHalves(cache[layer]![part])),
      channels,
      width,
    )
    tables.set(key, made)
    return made
  }
  return (values, part) => {
    const { spread, range, bits } = tableOf(part)
    const width = bin * depthFactor(part.layer, layers)
    let total = 0
    for (let index = 0; index < values.length; index += 1) {
      const token = Math.floor(index / channels)
      const channel = index % channels
      const anchor = token - (token % GROUP_TOKENS)
      if (token === anchor) {
        const step = (2 * range[channel]!) / (ANCHOR_BINS - 1)
        values[index] = Math.round(values[index]! / step) * step
        total += 8
        continue
      }
      const step = width * spread[channel]!
      const from = values[anchor * channels + channel]!
      const code = Math.max(-REACH, Math.min(REACH, Math.round((values[index]! - from) / step)))
      values[index] = from + code * step
      total += bits[channel * (2 * REACH + 1) + code + REACH]!
    }
    return total
  }
}

function makeTables(matrices: readonly Float32Array[], channels: number, width: number): PartTables {
  const squares = new Float64Array(channels)
  const range = new Float32Array(channels).fill(1e-6)
  let count = 0
  const differences: Float32Array[] = []
  for (const values of matrices) {
    const own = new Float32Array(values.length)
    for (let index = 0; index < values.length; index += 1) {
      const token = Math.floor(index / channels)
      const channel = index % channels
      range[channel] = Math.max(range[channel]!, Math.abs(values[index]!))
      own[index] = values[index]! - values[(token - (token % GROUP_TOKENS)) * channels + channel]!
      squares[channel]! += own[index]! ** 2
    }
    count += (values.length / channels) * (1 - 1 / GROUP_TOKENS)
    differences.push(own)
  }
  const spread = Float32Array.from(squares, (sum) => Math.sqrt(sum / count) + 1e-9)
  const size = 2 * REACH + 1
  const bits = new Float32Array(channels * size).fill(0.05)
  for (const own of differences) {
    for (let index = 0; index < own.length; index += 1) {
      if (Math.floor(index / channels) % GROUP_TOKENS === 0) continue
      const channel = index % channels
      const code = Math.max(-REACH, Math.min(REACH, Math.round(own[index]! / (width * spread[channel]!))))
      bits[channel * size + code + REACH]! += 1
    }
  }
  for (let channel = 0; channel < channels; channel += 1) {
    const row = bits.subarray(channel * size, (channel + 1) * size)
    const total = row.reduce((sum, value) => sum + value, 0)
    for (const [code, value] of row.entries()) row[code] = -Math.log2(value / total)
  }
  return { spread, range, bits }
}
