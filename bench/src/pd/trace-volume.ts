import { adviseSplit, type SplitRates } from '@deos/planner'
import { DecodeCache } from './decode-cache.ts'
import { TRACE_BLOCK_TOKENS, type TraceRequest } from './trace-requests.ts'

export interface VolumeSettings {
  /** Keys and values of a position in halves, all layers. */
  readonly kvBytesPerToken: number
  readonly layers: number
  /** How many times smaller blocks travel. */
  readonly ratio: number
  /** Of the decode side, for blocks as they travelled. */
  readonly cacheBytes: number
  /** The two rings; what a position takes on the way follows from the ratio. */
  readonly rates: Pick<
    SplitRates,
    'hereMsPerToken' | 'thereMsPerToken' | 'thereStartMs' | 'bytesPerSecond' | 'rttMs' | 'takeOverMs'
  >
}

/** Where the bytes of the baseline went; they add up to it. */
export interface VolumeParts {
  readonly requests: number
  readonly splitRequests: number
  /** Half-precision KV of every prompt, as if each were computed far away. */
  readonly baselineBytes: number
  /** Of positions that the decode side had. */
  readonly reuseBytes: number
  /** Of prompts that are ready as soon where they are decoded, however fast the way. */
  readonly routingBytes: number
  /** Of prompts that the other ring would compute sooner, but not send: only their tokens are used. */
  readonly recomputeBytes: number
  readonly codecBytes: number
  /** What crossed: blocks, their frames, and the tokens of prompts that were split. */
  readonly sentBytes: number
  readonly evictedBlocks: number
}

const PARTS = 2
/** Of a block's message, and of its acknowledgement: header, names, checksums and TLS record. */
const FRAME_BYTES = 160
/** A prompt on its way to the ring that computes it. */
const TOKEN_BYTES = 4
/** Every run of positions has a content id in the plans of both rings' stages. */
const ID_BYTES = 32

/** Plays a trace through the decision, the cache and the sizes of blocks. */
export function playTrace(requests: readonly TraceRequest[], settings: VolumeSettings): VolumeParts {
  const { kvBytesPerToken, layers, ratio, rates, cacheBytes } = settings
  const cache = new DecodeCache(cacheBytes)
  const total = { baseline: 0, reuse: 0, routing: 0, recompute: 0, codec: 0, sent: 0, split: 0 }
  const bytesPerToken = kvBytesPerToken / ratio
  const way = (perToken: number): SplitRates => ({
    ...rates,
    bytesPerToken: perToken,
    lastPieceBytes: (perToken * TRACE_BLOCK_TOKENS) / layers,
  })
  for (const { tokens, blocks } of requests) {
    const sizes = blocks.map((_, index) =>
      Math.max(0, Math.min(TRACE_BLOCK_TOKENS, tokens - index * TRACE_BLOCK_TOKENS)),
    )
    const firstMissing = blocks.findIndex((id) => !cache.has(id))
    const cached = firstMissing < 0 ? blocks.length : firstMissing
    const cachedTokens = sum(sizes.slice(0, cached))
    const missing = tokens - cachedTokens
    const exact = missing * kvBytesPerToken
    total.baseline += tokens * kvBytesPerToken
    total.reuse += cachedTokens * kvBytesPerToken
    for (const id of blocks.slice(0, cached)) cache.use(id)
    if (missing > 0 && adviseSplit(missing, way(bytesPerToken)).split) {
      const travels = exact / ratio
      const pieces = (blocks.length - cached) * layers * PARTS
      const overhead = pieces * FRAME_BYTES + tokens * TOKEN_BYTES + blocks.length * ID_BYTES
      total.split += 1
      total.codec += exact - travels - overhead
      total.sent += travels + overhead
    } else if (missing > 0 && adviseSplit(missing, way(0)).split) total.recompute += exact
    else total.routing += exact
    for (let index = cached; index < blocks.length; index++) {
      const size = sizes[index]!
      // Only whole runs are found again.
      if (size < TRACE_BLOCK_TOKENS) continue
      cache.put(blocks[index]!, size * bytesPerToken, size * rates.hereMsPerToken)
    }
  }
  return {
    ...{ requests: requests.length, splitRequests: total.split, baselineBytes: total.baseline },
    ...{ reuseBytes: total.reuse, routingBytes: total.routing, recomputeBytes: total.recompute },
    ...{ codecBytes: total.codec, sentBytes: total.sent, evictedBlocks: cache.evicted },
  }
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
