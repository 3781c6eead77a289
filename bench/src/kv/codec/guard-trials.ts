import {
  type Basis,
  BasisMismatchError,
  decodeKvBlock,
  encodeKvBlock,
  finishBasis,
  type KvTools,
} from '@deos/codec'
import type { CacheLab, ContextCache } from './cache-lab.ts'
import type { FittedBasis } from './calibrate.ts'
import type { Method } from './ladder.ts'
import { measureQuality, type Trial } from './quality.ts'

type Spoil = (basis: Basis, others: readonly Basis[], seed: number) => Basis

/** Ways in which a receiver's basis is not the sender's though it goes by its name. */
const faults: Readonly<Record<string, Spoil>> = {
  'one bit of one vector': (basis, _, seed) => {
    const vectors = basis.vectors.slice()
    const bits = new Uint32Array(vectors.buffer)
    bits[(seed * 7919) % bits.length]! ^= 1 << (seed % 32)
    return { ...basis, vectors }
  },
  'vectors of another group': (basis, others) => ({
    ...basis,
    vectors: Float32Array.from(
      basis.vectors,
      (_, index) => others[0]!.vectors[index % others[0]!.vectors.length]!,
    ),
  }),
  'two components exchanged': (basis, _, seed) => {
    const { channels, vectors } = basis
    const swapped = vectors.slice()
    const at = (seed % (basis.rank - 1)) * channels
    swapped.set(vectors.subarray(at, at + channels), at + channels)
    swapped.set(vectors.subarray(at + channels, at + 2 * channels), at)
    return { ...basis, vectors: swapped }
  },
  'mean lost': (basis) => ({ ...basis, mean: new Float32Array(basis.channels) }),
  'signs turned': (basis) => ({ ...basis, vectors: basis.vectors.map((value) => -value) }),
  'deviations doubled': (basis) => ({ ...basis, deviations: basis.deviations.map((value) => 2 * value) }),
  'tables of another class': (basis) => ({ ...basis, classes: basis.classes.toReversed() }),
  'an older version under the new name': (basis) => {
    const older = { ...basis, version: basis.version + 1, mean: basis.mean.map((value) => 1.01 * value) }
    return { ...finishBasis(older).basis, id: basis.id }
  },
}

export interface GuardResult {
  readonly trials: number
  /** Refused while decoding: nothing reaches the cache. */
  readonly caught: number
  readonly missed: readonly string[]
}

/** Decodes blocks with bases that are not what their name says, each fault in each group of layers. */
export function tryGuard(
  lab: CacheLab,
  trials: readonly Trial[],
  bases: readonly FittedBasis[],
  step: number,
  tools: KvTools,
): GuardResult {
  const result = { trials: 0, caught: 0, missed: [] as string[] }
  for (const { cache } of trials) {
    for (const [index, { basis }] of bases.entries()) {
      const block = blockOf(lab, cache, basis, step, tools)
      const others = bases.filter((_, other) => other !== index).map((other) => other.basis)
      for (const [name, spoil] of Object.entries(faults)) {
        result.trials += 1
        if (block.refusedWith(spoil(basis, others, 1 + result.trials))) result.caught += 1
        else result.missed.push(`${name}, group ${index}`)
      }
    }
  }
  return result
}

function blockOf(lab: CacheLab, cache: ContextCache, basis: Basis, step: number, tools: KvTools) {
  const { channels } = lab
  const tokens = cache[0]!.k.length / channels
  const parts = basis.parts.map(({ layer, part }) => ({
    ...{ layer, part, channels },
    values: cache[layer]![part],
  }))
  const content = { firstPosition: 0, tokens, parts }
  const reference = new Float32Array(tokens * basis.referenceChannels)
  const level = { name: 'sharedBasis', step, exact: { first: 4, last: 0 } } as const
  const bytes = encodeKvBlock(content, level, { ...tools, reference, basis })
  return {
    refusedWith: (spoiled: Basis): boolean => {
      try {
        decodeKvBlock(bytes, content, { ...tools, reference, basis: spoiled })
        return false
      } catch (error) {
        if (error instanceof BasisMismatchError) return true
        throw error
      }
    },
  }
}

export interface ProbeResult {
  readonly trials: number
  readonly refused: number
  /** Divergence over everything scored of caches that the probes let pass. */
  readonly passedKl: readonly number[]
}

/** What decodes without an error and is wrong all the same, which only the probes can tell. */
export interface ProbeResults {
  /** One layer of each cache is that of another context. */
  readonly foreignLayer: ProbeResult
  /** What the receiver takes for known of the tokens is of another context; null for bases without a reference. */
  readonly foreignReference: ProbeResult | null
}

export async function tryProbes(
  lab: CacheLab,
  trials: readonly Trial[],
  method: Method,
  withReference: boolean,
): Promise<ProbeResults> {
  const foreignLayer = { trials: 0, refused: 0, passedKl: [] as number[] }
  const foreignReference = { trials: 0, refused: 0, passedKl: [] as number[] }
  for (const [index, trial] of trials.entries()) {
    const other = trials.find(
      ({ cache }, place) => place !== index && cache[0]!.k.length === trial.cache[0]!.k.length,
    )
    if (other === undefined) continue
    const [own, foreign] = [method.send(trial.cache).cache, method.send(other.cache).cache]
    const layer = index % lab.layers
    await judge(lab, trial, foreignLayer, (at) => (at === layer ? foreign[at]! : own[at]!))
    if (!withReference) continue
    const misled = method.send(trial.cache, other.cache).cache
    await judge(lab, trial, foreignReference, (at) => misled[at]!)
  }
  return { foreignLayer, foreignReference: withReference ? foreignReference : null }
}

async function judge(
  lab: CacheLab,
  trial: Trial,
  result: { trials: number; refused: number; passedKl: number[] },
  layerOf: (layer: number) => ContextCache[number],
): Promise<void> {
  const { meanKl, refused } = await measureQuality(lab, [trial], (cache) => cache.map((_, at) => layerOf(at)))
  result.trials += 1
  if (refused === 1) result.refused += 1
  else result.passedKl.push(meanKl)
}
