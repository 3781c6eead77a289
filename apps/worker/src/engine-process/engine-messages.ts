import type { KvSlice, KvSliceWrite, SampledToken } from '@deos/domain'
import type { EngineKv, EngineSession, RingCapacity, SessionNeeds, StepEntry } from '@deos/protocol'
import { pack, unpack } from 'msgpackr'
import type { EngineAssignment } from './engine-load.ts'

/**
 * Worker → engine process. The payload of `open` is token ids; of `step`, token ids or hidden states; of `write-kv`, its
 * data; of `handed`, what the engine of another rank handed over.
 */
export type EngineRequest =
  | { readonly type: 'load'; readonly assignment: EngineAssignment }
  | { readonly type: 'prepare'; readonly id: number; readonly needs: SessionNeeds }
  | { readonly type: 'open'; readonly session: Omit<EngineSession, 'tokens'> }
  | { readonly type: 'close'; readonly key: number }
  | {
      readonly type: 'step'
      readonly id: number
      readonly entries: readonly StepEntry[]
      readonly embeds: boolean
      /** The hidden states are coded. */
      readonly coded: boolean
      /** Which entries may sample only what masks allow; those follow when they are known. */
      readonly masked: readonly number[]
    }
  /** For a step already sent: its masks one after another in the payload, or why there are none. */
  | { readonly type: 'masks'; readonly id: number; readonly problem: string | null }
  | { readonly type: 'read-kv'; readonly id: number; readonly slice: KvSlice }
  | { readonly type: 'write-kv'; readonly id: number; readonly slice: Omit<KvSliceWrite, 'data'> }
  | { readonly type: 'reset' | 'free-pages'; readonly id: number }
  | { readonly type: 'handed'; readonly from: number }

/** What a loaded engine is. */
export interface EngineReport {
  readonly capacity: RingCapacity
  readonly kv: EngineKv
  readonly device: string
  readonly hiddenSize: number
  readonly vocabSize: number
  /** Whether it samples. */
  readonly hasHead: boolean
  /** Tokens that end a generation, as the model says. */
  readonly stopTokens: readonly number[]
}

/**
 * Engine process → worker. The payload of `stepped` is hidden states, or the pooled vectors one after another; of `kv`, its
 * data; of `stored`, keys and then values; of `hand`, what is for the engines of other ranks.
 */
export type EngineReply =
  | { readonly type: 'progress'; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly type: 'loaded'; readonly report: EngineReport }
  | { readonly type: 'load-failed'; readonly message: string }
  | {
      readonly type: 'stepped'
      readonly id: number
      readonly sampled: readonly SampledToken[]
      /** How many vectors the payload holds; 0 if it is hidden states. */
      readonly pooled: number
      /** The hidden states are coded. */
      readonly coded: boolean
      readonly computeUs: number
    }
  | { readonly type: 'kv'; readonly id: number }
  | { readonly type: 'hand'; readonly to: readonly number[] }
  /** Amid a step, of a prompt that another ring goes on with. */
  | {
      readonly type: 'stored'
      readonly key: number
      readonly layer: number
      readonly first: number
      readonly count: number
      readonly keyBytes: number
    }
  | { readonly type: 'done'; readonly id: number; readonly value: number }
  | { readonly type: 'failed'; readonly id: number; readonly message: string }

export type EngineMessage = EngineRequest | EngineReply

const PACKED = 0
const STEP = 1
const STEPPED = 2
const STEP_BYTES = 10
const ENTRY_BYTES = 17
const PAGE_BYTES = 4
const STEPPED_BYTES = 18
/** Bits of a step's flags. */
const EMBEDS = 1
const IS_CODED = 2
/** Bits of an entry's flags. */
const SAMPLES = 1
const IS_MASKED = 2

/** Both ends are of one build, so heads carry no version; steps, the hot messages, have a fixed layout. */
export function encodeHead(message: EngineMessage): Buffer {
  if (message.type === 'step') return encodeStep(message)
  if (message.type === 'stepped' && message.sampled.every(({ logprobs }) => logprobs === null)) {
    return encodeStepped(message)
  }
  return Buffer.concat([Buffer.of(PACKED), pack(message)])
}

export function decodeHead(head: Buffer): EngineMessage {
  switch (head[0]) {
    case STEP:
      return decodeStep(head)
    case STEPPED:
      return decodeStepped(head)
    default:
      return unpack(head.subarray(1)) as EngineMessage
  }
}

/** Entries one after another, each followed by its pages. */
function encodeStep({
  id,
  entries,
  embeds,
  coded,
  masked,
}: Extract<EngineRequest, { type: 'step' }>): Buffer {
  const pageCount = entries.reduce((sum, { pages }) => sum + pages.length, 0)
  const head = Buffer.allocUnsafe(STEP_BYTES + entries.length * ENTRY_BYTES + pageCount * PAGE_BYTES)
  head[0] = STEP
  head.writeUInt32LE(id, 1)
  head[5] = (embeds ? EMBEDS : 0) | (coded ? IS_CODED : 0)
  head.writeUInt32LE(entries.length, 6)
  let offset = STEP_BYTES
  for (const [index, { key, position, count, sample, pages }] of entries.entries()) {
    head.writeUInt32LE(key, offset)
    head.writeUInt32LE(position, offset + 4)
    head.writeUInt32LE(count, offset + 8)
    head[offset + 12] = (sample ? SAMPLES : 0) | (masked.includes(index) ? IS_MASKED : 0)
    head.writeUInt32LE(pages.length, offset + 13)
    offset += ENTRY_BYTES
    for (const page of pages) offset = head.writeUInt32LE(page, offset)
  }
  return head
}

function decodeStep(head: Buffer): EngineRequest {
  const entries: StepEntry[] = []
  const masked: number[] = []
  for (let offset = STEP_BYTES; offset < head.length; ) {
    const pagesStart = offset + ENTRY_BYTES
    const pageCount = head.readUInt32LE(offset + 13)
    const flags = head[offset + 12]!
    if ((flags & IS_MASKED) !== 0) masked.push(entries.length)
    entries.push({
      key: head.readUInt32LE(offset),
      position: head.readUInt32LE(offset + 4),
      count: head.readUInt32LE(offset + 8),
      sample: (flags & SAMPLES) !== 0,
      pages: Array.from({ length: pageCount }, (_, index) =>
        head.readUInt32LE(pagesStart + index * PAGE_BYTES),
      ),
    })
    offset = pagesStart + pageCount * PAGE_BYTES
  }
  const flags = head[5]!
  return {
    type: 'step',
    id: head.readUInt32LE(1),
    entries,
    embeds: (flags & EMBEDS) !== 0,
    coded: (flags & IS_CODED) !== 0,
    masked,
  }
}

function encodeStepped({
  id,
  sampled,
  pooled,
  coded,
  computeUs,
}: Extract<EngineReply, { type: 'stepped' }>): Buffer {
  const head = Buffer.allocUnsafe(STEPPED_BYTES + sampled.length * 4)
  head[0] = STEPPED
  head.writeUInt32LE(id, 1)
  head.writeUInt32LE(sampled.length, 5)
  head.writeUInt32LE(computeUs, 9)
  head.writeUInt32LE(pooled, 13)
  head[17] = coded ? 1 : 0
  for (const [index, { token }] of sampled.entries()) head.writeInt32LE(token, STEPPED_BYTES + index * 4)
  return head
}

function decodeStepped(head: Buffer): EngineReply {
  const sampled: SampledToken[] = []
  for (let offset = STEPPED_BYTES; offset < head.length; offset += 4) {
    sampled.push({ token: head.readInt32LE(offset), logprobs: null })
  }
  return {
    type: 'stepped',
    id: head.readUInt32LE(1),
    sampled,
    pooled: head.readUInt32LE(13),
    coded: head[17] === 1,
    computeUs: head.readUInt32LE(9),
  }
}
