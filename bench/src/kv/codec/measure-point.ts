import type { CacheLab, ContextCache } from './cache-lab.ts'
import type { CurvePoint } from './curves.ts'
import type { Method } from './ladder.ts'
import { measureQuality, type Trial } from './quality.ts'

/** Bytes and quality of a method on trials; each cache is sent once, however many trials it has. */
export async function measurePoint(
  lab: CacheLab,
  trials: readonly Trial[],
  method: Method,
): Promise<CurvePoint> {
  const sent = new Map(trials.map(({ cache }) => [cache, method.send(cache)]))
  const tokensOf = (cache: ContextCache): number => cache[0]!.k.length / lab.channels
  let [bytes, tokens] = [0, 0]
  for (const [cache, own] of sent) {
    bytes += own.bytes
    tokens += tokensOf(cache)
  }
  const quality = await measureQuality(lab, trials, (cache) => sent.get(cache)!.cache)
  return {
    ...{ name: method.name, family: method.family, toolBytes: method.toolBytes },
    ratio: (tokens * lab.positionBytes) / bytes,
    bytesPerToken: bytes / tokens,
    contexts: trials
      .filter(({ kind }) => kind === 'text')
      .map(({ cache }) => ({ tokens: tokensOf(cache), bytes: sent.get(cache)!.bytes })),
    ...quality,
  }
}

/** Share of halves that arrive bit by bit as they were. */
export function exactShare(caches: readonly ContextCache[], method: Method): number {
  let [same, all] = [0, 0]
  for (const cache of caches) {
    const arrived = method.send(cache).cache
    for (const [layer, { k, v }] of cache.entries()) {
      same += k.reduce((count, half, at) => count + (half === arrived[layer]!.k[at] ? 1 : 0), 0)
      same += v.reduce((count, half, at) => count + (half === arrived[layer]!.v[at] ? 1 : 0), 0)
      all += k.length + v.length
    }
  }
  return same / all
}

/** Megabytes of the cache in halves a second, a number for each round. */
export interface Rates {
  readonly encode: readonly number[]
  readonly decode: readonly number[]
}

/** How fast methods are, in rounds that take turns; a first one that warms up does not count. */
export function measureRates(
  lab: CacheLab,
  caches: readonly ContextCache[],
  methods: readonly Method[],
  rounds: number,
): ReadonlyMap<string, Rates> {
  const rates = new Map(methods.map(({ name }) => [name, { encode: [] as number[], decode: [] as number[] }]))
  const whole = caches.reduce(
    (sum, cache) => sum + (cache[0]!.k.length / lab.channels) * lab.positionBytes,
    0,
  )
  for (let round = 0; round <= rounds; round += 1)
    for (const method of methods) {
      const total = { encodeMs: 0, decodeMs: 0 }
      for (const cache of caches) {
        const { encodeMs, decodeMs } = method.send(cache)
        total.encodeMs += encodeMs
        total.decodeMs += decodeMs
      }
      if (round === 0) continue
      rates.get(method.name)!.encode.push(whole / total.encodeMs / 1e3)
      rates.get(method.name)!.decode.push(whole / total.decodeMs / 1e3)
    }
  return rates
}
