import type { SampledToken } from '@deos/domain'
import type { EngineSession, RingCapacity, StepEntry } from '@deos/protocol'
import { pack, unpack } from 'msgpackr'
import type { EngineAssignment } from './engine-load.ts'

/** Worker → engine process. The payload of `open` is token ids; of `step`, token ids or hidden states. */
export type EngineRequest =
  | { readonly type: 'load'; readonly assignment: EngineAssignment }
  | { readonly type: 'open'; readonly session: Omit<EngineSession, 'tokens'> }
  | { readonly type: 'close'; readonly key: number }
  | {
      readonly type: 'step'
      readonly id: number
      readonly entries: readonly StepEntry[]
      readonly embeds: boolean
    }
  | { readonly type: 'reset' | 'free-pages'; readonly id: number }

/** What a loaded engine is. */
export interface EngineReport {
  readonly capacity: RingCapacity
  readonly device: string
  readonly hiddenSize: number
  readonly vocabSize: number
}

/** Engine process → worker. The payload of `stepped` is hidden states. */
export type EngineReply =
  | { readonly type: 'progress'; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly type: 'loaded'; readonly report: EngineReport }
  | { readonly type: 'load-failed'; readonly message: string }
  | {
      readonly type: 'stepped'
      readonly id: number
      readonly sampled: readonly SampledToken[]
      readonly computeUs: number
    }
  | { readonly type: 'done'; readonly id: number; readonly value: number }
  | { readonly type: 'failed'; readonly id: number; readonly message: string }

export type EngineMessage = EngineRequest | EngineReply

const PACKED = 0
const STEP = 1
const STEPPED = 2
const STEP_BYTES = 10
const ENTRY_BYTES = 13
const STEPPED_BYTES = 13

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

function encodeStep({ id, entries, embeds }: Extract<EngineRequest, { type: 'step' }>): Buffer {
  const head = Buffer.allocUnsafe(STEP_BYTES + entries.length * ENTRY_BYTES)
  head[0] = STEP
  head.writeUInt32LE(id, 1)
  head[5] = embeds ? 1 : 0
  head.writeUInt32LE(entries.length, 6)
  let offset = STEP_BYTES
  for (const { key, position, count, sample } of entries) {
    head.writeUInt32LE(key, offset)
    head.writeUInt32LE(position, offset + 4)
    head.writeUInt32LE(count, offset + 8)
    head[offset + 12] = sample ? 1 : 0
    offset += ENTRY_BYTES
  }
  return head
}

function decodeStep(head: Buffer): EngineRequest {
  const entries: StepEntry[] = []
  for (let offset = STEP_BYTES; offset < head.length; offset += ENTRY_BYTES) {
    entries.push({
      key: head.readUInt32LE(offset),
      position: head.readUInt32LE(offset + 4),
      count: head.readUInt32LE(offset + 8),
      sample: head[offset + 12] === 1,
    })
  }
  return { type: 'step', id: head.readUInt32LE(1), entries, embeds: head[5] === 1 }
}

function encodeStepped({ id, sampled, computeUs }: Extract<EngineReply, { type: 'stepped' }>): Buffer {
  const head = Buffer.allocUnsafe(STEPPED_BYTES + sampled.length * 4)
  head[0] = STEPPED
  head.writeUInt32LE(id, 1)
  head.writeUInt32LE(sampled.length, 5)
  head.writeUInt32LE(computeUs, 9)
  for (const [index, { token }] of sampled.entries()) head.writeInt32LE(token, STEPPED_BYTES + index * 4)
  return head
}

function decodeStepped(head: Buffer): EngineReply {
  const sampled: SampledToken[] = []
  for (let offset = STEPPED_BYTES; offset < head.length; offset += 4) {
    sampled.push({ token: head.readInt32LE(offset), logprobs: null })
  }
  return { type: 'stepped', id: head.readUInt32LE(1), sampled, computeUs: head.readUInt32LE(9) }
}
