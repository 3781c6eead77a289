import { basisForStep, decodeKvBlock, encodeKvBlock, type KvTools, type Level } from '@deos/codec'
import type { CacheLab, ContextCache } from './cache-lab.ts'
import { type FittedBasis, tokenReference } from './calibrate.ts'

/** What arrives, how many bytes travelled, all counted, and how long our own levels took on either side. */
export interface Sent {
  readonly cache: ContextCache
  readonly bytes: number
  readonly encodeMs: number
  readonly decodeMs: number
}

/** A way to send a context. */
export interface Method {
  readonly name: string
  /** Methods of one family differ in their step only. */
  readonly family: string
  /** What both sides need beforehand, once for a deployment. */
  readonly toolBytes: number
  /**
   * @param believed - the cache that the receiver takes its reference from: another one only to see it caught
   */
  send(cache: ContextCache, believed?: ContextCache): Sent
}

/** One block for each layer. */
export function perLayer(lab: CacheLab, name: string, level: Level, tools: KvTools, toolBytes = 0): Method {
  return {
    ...{ name, family: name, toolBytes },
    send: (cache) => {
      const blocks = cache.map((_, layer) => sendBlock(lab, cache, [layer], level, [tools, tools]))
      return { cache: blocks.flatMap(({ layers }) => layers), ...totals(blocks, 0) }
    },
  }
}

/** One block for each group of layers with a basis of its own. */
export function perGroup(
  lab: CacheLab,
  family: string,
  bases: readonly FittedBasis[],
  step: number,
  first: number,
  tools: KvTools,
): Method {
  const level = { name: 'sharedBasis', step, exact: { first, last: 0 } } as const
  const withTokens = bases.some(({ basis }) => basis.referenceChannels > 0)
  return {
    ...{ name: `${family}.step@${step}`, family },
    toolBytes: bases.reduce((sum, { basis }) => sum + basisForStep(basis, step).bytes.length, 0),
    send: (cache, believed = cache) => {
      const [reference, theirs] = [cache, believed].map((own) =>
        withTokens ? tokenReference(own, tools.rotary, lab.channels) : new Float32Array(0),
      )
      const arrived: { k: Uint16Array; v: Uint16Array }[] = [...cache]
      const blocks = bases.map(({ basis }) => {
        const layers = [...new Set(basis.parts.map(({ layer }) => layer))]
        const withReference = (own: Float32Array): KvTools =>
          basis.referenceChannels > 0 ? { ...tools, basis, reference: own } : { ...tools, basis }
        const both = [withReference(reference!), withReference(theirs!)] as const
        const block = sendBlock(lab, cache, layers, level, both)
        for (const [index, layer] of layers.entries()) arrived[layer] = block.layers[index]!
        return block
      })
      // Where layer 0 follows from the tokens, these travel: two bytes each.
      const tokenBytes = withTokens ? 2 * (cache[0]!.k.length / lab.channels) : 0
      return { cache: arrived, ...totals(blocks, tokenBytes) }
    },
  }
}

function sendBlock(
  lab: CacheLab,
  cache: ContextCache,
  layers: readonly number[],
  level: Level,
  [tools, theirs]: readonly [KvTools, KvTools],
) {
  const { channels } = lab
  const tokens = cache[0]!.k.length / channels
  const parts = layers.flatMap((layer) =>
    (['k', 'v'] as const).map((part) => ({ layer, part, channels, values: cache[layer]![part] })),
  )
  const started = performance.now()
  const bytes = encodeKvBlock({ firstPosition: 0, tokens, parts }, level, tools)
  const encoded = performance.now()
  const halves = decodeKvBlock(bytes, { firstPosition: 0, tokens, parts }, theirs)
  const decoded = performance.now()
  return {
    layers: layers.map((_, index) => ({ k: halves[2 * index]!, v: halves[2 * index + 1]! })),
    bytes: bytes.length,
    encodeMs: encoded - started,
    decodeMs: decoded - encoded,
  }
}

function totals(blocks: readonly Omit<Sent, 'cache'>[], extraBytes: number): Omit<Sent, 'cache'> {
  const total = { bytes: extraBytes, encodeMs: 0, decodeMs: 0 }
  for (const { bytes, encodeMs, decodeMs } of blocks) {
    total.bytes += bytes
    total.encodeMs += encodeMs
    total.decodeMs += decodeMs
  }
  return total
}
