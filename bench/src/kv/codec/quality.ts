import { cachePasses, type ExactProbe, judgeProbe, takeProbe } from '@deos/codec'
import { quantile } from '../../contract.ts'
import type { CacheLab, ContextCache } from './cache-lab.ts'

/** Tokens at the end of a prompt by which the guard judges. */
export const PROBES = 16
/** The first few tokens of a repeated stretch do not yet say which stretch it is. */
const CUE_TOKENS = 4

/** A context, what follows it, and how likely the unchanged cache finds everything that could. */
export interface Trial {
  readonly cache: ContextCache
  readonly tokens: Int32Array
  /** `[tokens, vocab]` logarithms of probabilities. */
  readonly exact: Float32Array
  /** `text` goes on; `copy` repeats a stretch of the context; `needle` asks for a key that was planted in it early. */
  readonly kind: 'text' | 'copy' | 'needle'
  /** Scored tokens that come before what is asked for. */
  readonly cue: number
  /** What the model says of what was planted without it having been; null if nothing was. */
  readonly unaided: Unaided | null
  /** Of the first tokens of a text. */
  readonly probes: readonly ExactProbe[]
}

interface Unaided {
  /** Whether each token is guessed right all the same, and so says nothing of recall. */
  readonly right: Uint8Array
  /** Logarithm of the probability of each token. */
  readonly logProbability: Float32Array
}

export interface Quality {
  readonly perplexityRatio: number
  readonly meanKl: number
  readonly p99Kl: number
  readonly top1Agreement: number
  /** Repeated tokens that are guessed right, over those the unchanged cache guesses right. */
  readonly copyRecall: number | null
  /** The same of the tokens that were planted after the key. */
  readonly needleRecall: number | null
  /** Nats that having planted them gains for the planted tokens, over what it gains in the unchanged cache; null if that is little. */
  readonly needleGain: number | null
  /** Share of contexts that the guard's probes refuse. */
  readonly refused: number
  /** Whether they refuse each text, in order. */
  readonly refusals: readonly boolean[]
}

export interface Cut {
  readonly windows: number
  readonly context: number
  readonly scored: number
}

/** Cuts windows out of a text, evenly spread, and prefills their contexts; needles go into contexts of their own. */
export async function prepareTrials(
  lab: CacheLab,
  text: Int32Array,
  { windows, context, scored }: Cut,
  needles = 0,
): Promise<readonly Trial[]> {
  const stride = Math.floor((text.length - context - scored - 1) / Math.max(1, windows - 1))
  if (stride < 1) throw new RangeError(`${text.length} tokens are too few for ${windows} windows.`)
  const trials: Trial[] = []
  for (let index = 0; index < windows; index += 1) {
    const start = index * stride
    const tokens = text.slice(start, start + context)
    const cache = await lab.prefill(tokens)
    const next = text.slice(start + context, start + context + scored + 1)
    // From a different place of the context each time.
    const from = 8 + ((index * 37) % (context - scored - 16))
    trials.push(await trialOf(lab, cache, next, 'text', 0))
    trials.push(await trialOf(lab, cache, tokens.slice(from, from + scored + 1), 'copy', CUE_TOKENS))
    if (index < needles)
      trials.push(
        await needleTrial(
          lab,
          cache,
          tokens,
          text.subarray(Math.floor(start + text.length / 2) % (text.length - 64)),
        ),
      )
  }
  return trials
}

/** Nats a planted token must gain in the mean; a model to which it says less recalls nothing that could be lost. */
const LEAST_GAIN = 0.25

const KEY_TOKENS = 6
const VALUE_TOKENS = 18

/**
 * A key and a value out of a distant place of the text are put near the beginning; the key comes again at the end. Only
 * those tokens count that the model does not guess without them.
 */
async function needleTrial(
  lab: CacheLab,
  without: ContextCache,
  context: Int32Array,
  distant: Int32Array,
): Promise<Trial> {
  const pair = distant.slice(0, KEY_TOKENS + VALUE_TOKENS)
  const planted = context.slice()
  planted.set(pair, Math.floor(context.length / 8))
  const trial = await trialOf(lab, await lab.prefill(planted), pair, 'needle', KEY_TOKENS - 1)
  const { vocabSize } = lab
  const bare = logProbabilities(await lab.score(without, pair.subarray(0, -1)), vocabSize)
  const row = (at: number) => bare.subarray(at * vocabSize, (at + 1) * vocabSize)
  const targets = pair.subarray(1)
  return {
    ...trial,
    unaided: {
      right: Uint8Array.from(targets, (target, at) => (likeliest(row(at)) === target ? 1 : 0)),
      logProbability: Float32Array.from(targets, (target, at) => row(at)[target]!),
    },
  }
}

async function trialOf(
  lab: CacheLab,
  cache: ContextCache,
  tokens: Int32Array,
  kind: Trial['kind'],
  cue: number,
): Promise<Trial> {
  const { vocabSize } = lab
  const exact = logProbabilities(await lab.score(cache, tokens.subarray(0, -1)), vocabSize)
  const probed = kind === 'text' ? Math.min(PROBES, tokens.length - 1) : 0
  const probes = Array.from({ length: probed }, (_, row) =>
    takeProbe(exact.subarray(row * vocabSize, (row + 1) * vocabSize)),
  )
  return { cache, tokens, exact, kind, cue, probes, unaided: null }
}

/** Compares what changed caches say with what the unchanged ones say. */
export async function measureQuality(
  lab: CacheLab,
  trials: readonly Trial[],
  changed: (cache: ContextCache) => ContextCache,
): Promise<Quality> {
  const kl: number[] = []
  const sums = { surprise: 0, agreeing: 0 }
  const gain = { kept: 0, exactly: 0, tokens: 1 }
  const refusals: boolean[] = []
  const recall = { copy: { right: 0, exactly: 0 }, needle: { right: 0, exactly: 0 } }
  const { vocabSize } = lab
  for (const trial of trials) {
    const { cache, tokens, exact, kind, cue, unaided } = trial
    const scored = tokens.length - 1
    const now = logProbabilities(await lab.score(changed(cache), tokens.subarray(0, scored)), vocabSize)
    if (kind === 'text') refusals.push(!probesPass(trial, now, vocabSize))
    for (let row = cue; row < scored; row += 1) {
      const p = exact.subarray(row * vocabSize, (row + 1) * vocabSize)
      const q = now.subarray(row * vocabSize, (row + 1) * vocabSize)
      const target = tokens[row + 1]!
      const [exactBest, best] = [likeliest(p), likeliest(q)]
      if (kind !== 'text') {
        if (unaided !== null) {
          gain.tokens += 1
          gain.kept += q[target]! - unaided.logProbability[row]!
          gain.exactly += p[target]! - unaided.logProbability[row]!
        }
        if (unaided?.right[row] === 1) continue
        recall[kind].exactly += exactBest === target ? 1 : 0
        recall[kind].right += exactBest === target && best === target ? 1 : 0
        continue
      }
      kl.push(divergence(p, q))
      sums.surprise += p[target]! - q[target]!
      sums.agreeing += best === exactBest ? 1 : 0
    }
  }
  const share = ({ right, exactly }: { right: number; exactly: number }) =>
    exactly > 0 ? right / exactly : null
  return {
    perplexityRatio: Math.exp(sums.surprise / kl.length),
    meanKl: kl.reduce((sum, value) => sum + value, 0) / kl.length,
    p99Kl: quantile(kl, 0.99),
    top1Agreement: sums.agreeing / kl.length,
    copyRecall: share(recall.copy),
    needleRecall: share(recall.needle),
    needleGain: gain.exactly >= LEAST_GAIN * gain.tokens ? gain.kept / gain.exactly : null,
    refused: refusals.filter(Boolean).length / refusals.length,
    refusals,
  }
}

/** Whether the guard lets a cache pass that says `now`, `[tokens, vocab]`. */
function probesPass({ probes }: Trial, now: Float32Array, vocabSize: number): boolean {
  return cachePasses(
    probes.map((probe, row) => judgeProbe(probe, now.subarray(row * vocabSize, (row + 1) * vocabSize))),
  )
}

/** How many tokens of needles and copies the unchanged caches guess right, of those asked for; nats gained by needles. */
export function exactRecall(trials: readonly Trial[], vocabSize: number) {
  const counts = { copy: { right: 0, asked: 0 }, needle: { right: 0, asked: 0, gainedNats: 0 } }
  for (const { kind, exact, tokens, cue, unaided } of trials) {
    if (kind === 'text') continue
    for (let row = cue; row < tokens.length - 1; row += 1) {
      if (unaided?.right[row] === 1) continue
      counts[kind].asked += 1
      if (unaided !== null)
        counts.needle.gainedNats += exact[row * vocabSize + tokens[row + 1]!]! - unaided.logProbability[row]!
      const best = likeliest(exact.subarray(row * vocabSize, (row + 1) * vocabSize))
      counts[kind].right += best === tokens[row + 1] ? 1 : 0
    }
  }
  return counts
}

export function divergence(p: Float32Array, q: Float32Array): number {
  let sum = 0
  for (let index = 0; index < p.length; index += 1) sum += Math.exp(p[index]!) * (p[index]! - q[index]!)
  return Math.max(0, sum)
}

function likeliest(values: Float32Array): number {
  let best = 0
  for (let index = 1; index < values.length; index += 1) if (values[index]! > values[best]!) best = index
  return best
}

export function logProbabilities(logits: Float32Array, vocabSize: number): Float32Array {
  for (let start = 0; start < logits.length; start += vocabSize) {
    const row = logits.subarray(start, start + vocabSize)
    const largest = row[likeliest(row)]!
    let sum = 0
    for (const logit of row) sum += Math.exp(logit - largest)
    const total = largest + Math.log(sum)
    for (let index = 0; index < vocabSize; index += 1) row[index] = row[index]! - total
  }
  return logits
}
