import {
  type Basis,
  type ChannelModel,
  type ChannelModelSet,
  channelOrder,
  fitBasis,
  fitChannelModel,
  GramAccumulator,
  type KvPart,
  narrowToHalves,
  type RotaryOf,
  readChannelModels,
  rotateKeys,
  type WeightedPart,
  widenHalves,
  writeChannelModels,
} from '@deos/codec'
import type { CacheLab, ContextCache } from './cache-lab.ts'
import { measureQuality, type Trial } from './quality.ts'

/** The first tokens of a context are sent exactly and look like no others: no basis is fitted to them. */
export const SINK_TOKENS = 4

/** Keys as they were before their positions and values, as numbers. */
export function plainPart(
  cache: ContextCache,
  { layer, part }: KvPart,
  rotary: RotaryOf,
  channels: number,
): Float32Array {
  const values = widenHalves(cache[layer]![part])
  const turning = part === 'k' ? rotary(layer) : null
  if (turning === null) return values
  const positions = Float64Array.from({ length: values.length / channels }, (_, position) => position)
  rotateKeys(values, positions, turning, 'unrotate')
  return values
}

/**
 * How much divergence a part's mean squared error causes: noise of a known size goes into one part at a time.
 *
 * @returns by `${part}${layer}`
 */
export async function measureSensitivity(
  lab: CacheLab,
  trials: readonly Trial[],
): Promise<ReadonlyMap<string, number>> {
  const result = new Map<string, number>()
  for (let layer = 0; layer < lab.layers; layer += 1) {
    for (const part of ['k', 'v'] as const) {
      // Small enough for the divergence to grow with its square.
      const reach = 0.25 * deviationOf(trials[0]!.cache[layer]![part])
      const { meanKl } = await measureQuality(lab, trials, (cache) =>
        cache.map((own, index) =>
          index === layer ? { ...own, [part]: noisy(own[part], reach, lab.channels) } : own,
        ),
      )
      result.set(`${part}${layer}`, meanKl / (reach ** 2 / 3))
    }
  }
  return result
}

function deviationOf(halves: Uint16Array): number {
  const values = widenHalves(halves)
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length)
}

function noisy(halves: Uint16Array, reach: number, channels: number): Uint16Array {
  const values = widenHalves(halves)
  let state = 12_345
  for (let index = SINK_TOKENS * channels; index < values.length; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    values[index] = values[index]! + reach * (state / 2 ** 31 - 1)
  }
  return narrowToHalves(values)
}

/** Weights of parts, with a geometric mean of 1: a step means the same in all of them. */
export function weightsOf(sensitivity: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  const logs = [...sensitivity.values()].map((value) => Math.log(Math.max(value, 1e-12)))
  const mean = logs.reduce((sum, value) => sum + value, 0) / logs.length
  return new Map(
    [...sensitivity].map(([key, value]) => [key, Math.sqrt(Math.max(value, 1e-12) / Math.exp(mean))]),
  )
}

/** Layer 0's keys and values of each token and of the one before: both follow from the tokens alone. */
export function tokenReference(cache: ContextCache, rotary: RotaryOf, channels: number): Float32Array {
  const k = plainPart(cache, { layer: 0, part: 'k', channels }, rotary, channels)
  const v = plainPart(cache, { layer: 0, part: 'v', channels }, rotary, channels)
  const tokens = k.length / channels
  const reference = new Float32Array(tokens * 4 * channels)
  for (let token = 0; token < tokens; token += 1) {
    for (const [place, [values, back]] of (
      [
        [k, 0],
        [v, 0],
        [k, 1],
        [v, 1],
      ] as const
    ).entries()) {
      const from = Math.max(0, token - back) * channels
      reference.set(values.subarray(from, from + channels), (4 * token + place) * channels)
    }
  }
  return reference
}

export interface FittedBasis {
  readonly basis: Basis
  readonly bytes: Uint8Array
}

/** One basis for each group of layers, over keys and values side by side. */
export function fitGroups(
  lab: CacheLab,
  caches: readonly ContextCache[],
  weights: ReadonlyMap<string, number>,
  groups: readonly (readonly number[])[],
  withReference: boolean,
  smallestStep: number,
): readonly FittedBasis[] {
  const { channels, rotary } = lab
  return groups.map((layers) => {
    const parts: WeightedPart[] = layers.flatMap((layer) =>
      (['k', 'v'] as const).map((part) => ({
        layer,
        part,
        channels,
        weight: weights.get(`${part}${layer}`)!,
      })),
    )
    const referenceChannels = withReference ? 4 * channels : 0
    const gram = new GramAccumulator(referenceChannels + parts.length * channels)
    const sampled: { rows: Float32Array; reference: Float32Array }[] = []
    for (const [index, cache] of caches.entries()) {
      const matrices = parts.map((part) => plainPart(cache, part, rotary, channels))
      const reference = withReference ? [tokenReference(cache, rotary, channels)] : []
      gram.add(sideBySide([...reference, ...matrices], cache[0]!.k.length / channels))
      if (index % 8 === 0)
        sampled.push({
          rows: sideBySide(matrices, cache[0]!.k.length / channels),
          reference: sideBySide(reference, cache[0]!.k.length / channels),
        })
    }
    const sample = {
      rows: joined(sampled.map(({ rows }) => rows)),
      reference: withReference ? joined(sampled.map(({ reference }) => reference)) : null,
    }
    return fitBasis({
      parts,
      gram,
      referenceChannels,
      sample,
      smallestDeviation: smallestStep / 8,
      version: 1,
    })
  })
}

/** Rows without the sink tokens, matrices of the same tokens beside each other. */
export function sideBySide(matrices: readonly Float32Array[], tokens: number): Float32Array {
  const widths = matrices.map((matrix) => matrix.length / tokens)
  const width = widths.reduce((sum, value) => sum + value, 0)
  const rows = new Float32Array((tokens - SINK_TOKENS) * width)
  let offset = 0
  for (const [index, matrix] of matrices.entries()) {
    const own = widths[index]!
    for (let token = SINK_TOKENS; token < tokens; token += 1)
      rows.set(matrix.subarray(token * own, (token + 1) * own), (token - SINK_TOKENS) * width + offset)
    offset += own
  }
  return rows
}

function joined(arrays: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0))
  let offset = 0
  for (const array of arrays) {
    all.set(array, offset)
    offset += array.length
  }
  return all
}

/** What each channel is expected to be given those before it, for the lossless level. */
export function fitChannelModels(
  lab: CacheLab,
  caches: readonly ContextCache[],
): { readonly set: ChannelModelSet; readonly bytes: number } {
  const { channels, rotary } = lab
  const models: { part: KvPart; model: ChannelModel }[] = []
  for (let layer = 0; layer < lab.layers; layer += 1) {
    for (const name of ['k', 'v'] as const) {
      const part = { layer, part: name, channels }
      const gram = new GramAccumulator(channels)
      for (const cache of caches)
        gram.add(plainPart(cache, part, rotary, channels).subarray(SINK_TOKENS * channels))
      const { mean, covariance } = gram.moments()
      const order = channelOrder(channels, name === 'k' ? rotary(layer) : null)
      models.push({ part, model: fitChannelModel(mean, covariance, channels, order) })
    }
  }
  const bytes = writeChannelModels(models)
  return { set: readChannelModels(bytes), bytes: bytes.length }
}
