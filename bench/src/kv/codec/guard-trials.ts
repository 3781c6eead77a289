import { type Basis, decodeKvBlock, encodeKvBlock, judgeProbe, type KvTools, takeProbe } from '@deos/codec'
import { DomainError } from '@deos/domain'
import type { CacheLab, ContextCache } from './cache-lab.ts'
import type { FittedBasis } from './calibrate.ts'
import type { Trial } from './quality.ts'

/** Tokens at the end of a prompt that are computed again over the decoded cache. */
const PROBES = 4

/** Ways in which a receiver's basis is not the sender's though it goes by its name. */
const faults: readonly { readonly name: string; spoil(basis: Basis, others: readonly Basis[]): Basis }[] = [
  {
    name: 'vectors of another group',
    spoil: (basis, others) => ({ ...basis, vectors: fitted(others[0]!.vectors, basis.vectors.length) }),
  },
  { name: 'components in another order', spoil: (basis) => ({ ...basis, vectors: swapped(basis) }) },
  { name: 'mean lost', spoil: (basis) => ({ ...basis, mean: new Float32Array(basis.channels) }) },
  { name: 'signs turned', spoil: (basis) => ({ ...basis, vectors: basis.vectors.map((value) => -value) }) },
  {
    name: 'tables of another step',
    spoil: (basis) => ({ ...basis, deviations: basis.deviations.map((value) => value * 2) }),
  },
]

function fitted(values: Float32Array, length: number): Float32Array {
  return Float32Array.from({ length }, (_, index) => values[index % values.length]!)
}

function swapped({ vectors, channels, rank }: Basis): Float32Array {
  const result = vectors.slice()
  for (let component = 0; component + 1 < Math.min(rank, 16); component += 2) {
    result.set(vectors.subarray(component * channels, (component + 1) * channels), (component + 1) * channels)
    result.set(vectors.subarray((component + 1) * channels, (component + 2) * channels), component * channels)
  }
  return result
}

export interface GuardResult {
  readonly trials: number
  /** Refused while decoding, or by the probes. */
  readonly caught: number
  readonly soundTrials: number
  /** Sound caches that the probes refuse. */
  readonly falseAlarms: number
  readonly missed: readonly string[]
}

/** Decodes blocks with bases that are not what their name says, and lets the probes judge. */
export async function tryGuard(
  lab: CacheLab,
  trials: readonly Trial[],
  bases: readonly FittedBasis[],
  step: number,
  tools: KvTools,
): Promise<GuardResult> {
  const result = { trials: 0, caught: 0, soundTrials: 0, falseAlarms: 0, missed: [] as string[] }
  for (const trial of trials) {
    result.soundTrials += 1
    const sound = decodeAll(
      lab,
      trial.cache,
      bases.map(({ basis }) => [basis, basis]),
      step,
      tools,
    )
    if (!(await passes(lab, trial, sound))) {
      // What is refused anyway says nothing about what is caught.
      result.falseAlarms += 1
      continue
    }
    for (const { name, spoil } of faults) {
      for (const [index, { basis }] of bases.entries()) {
        const others = bases.filter((_, other) => other !== index).map((other) => other.basis)
        const spoiled = spoil(basis, others)
        result.trials += 1
        const accepted = await accepts(
          lab,
          trial,
          bases.map((own, at) => [own.basis, at === index ? spoiled : own.basis]),
          step,
          tools,
        )
        if (accepted) result.missed.push(`${name}, group ${index}`)
        else result.caught += 1
      }
    }
  }
  return result
}

type Pair = readonly [encoding: Basis, decoding: Basis]

async function accepts(
  lab: CacheLab,
  trial: Trial,
  pairs: readonly Pair[],
  step: number,
  tools: KvTools,
): Promise<boolean> {
  try {
    return await passes(lab, trial, decodeAll(lab, trial.cache, pairs, step, tools))
  } catch (error) {
    if (error instanceof DomainError) return false
    throw error
  }
}

function decodeAll(
  lab: CacheLab,
  cache: ContextCache,
  pairs: readonly Pair[],
  step: number,
  tools: KvTools,
): ContextCache {
  const { channels } = lab
  const tokens = cache[0]!.k.length / channels
  const arrived = [...cache]
  for (const [encoding, decoding] of pairs) {
    const parts = encoding.parts.map(({ layer, part }) => ({
      layer,
      part,
      channels,
      values: cache[layer]![part],
    }))
    const content = { firstPosition: 0, tokens, parts }
    const level = { name: 'sharedBasis', step, exact: { first: 4, last: 0 } } as const
    const bytes = encodeKvBlock(content, level, { ...tools, basis: encoding })
    const halves = decodeKvBlock(bytes, content, { ...tools, basis: decoding })
    for (const [index, { layer, part }] of parts.entries())
      arrived[layer] = { ...arrived[layer]!, [part]: halves[index]! }
  }
  return arrived
}

async function passes(lab: CacheLab, trial: Trial, cache: ContextCache): Promise<boolean> {
  const logits = await lab.score(cache, trial.tokens.subarray(0, PROBES))
  for (let row = 0; row < PROBES; row += 1) {
    const place = [row * lab.vocabSize, (row + 1) * lab.vocabSize] as const
    if (!judgeProbe(takeProbe(trial.exact.subarray(...place)), logits.subarray(...place)).passes) return false
  }
  return true
}
