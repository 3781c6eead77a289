import type { RankMessage, RingCapacity } from '@deos/protocol'
import type { Link } from '@deos/transport'
import { encodeFrame, FrameReader } from '../engine-process/engine-frames.ts'
import type { EngineRequest } from '../engine-process/engine-messages.ts'

const nothing = new Uint8Array()

/** Sends one message between ranks; all go the same way, so that none overtakes another. */
export function sendRank(
  link: Link,
  message: Omit<RankMessage, 'type' | 'to' | 'reason' | 'data'> & Partial<RankMessage>,
): void {
  link.send({ to: [], reason: '', data: nothing, ...message, type: 'rank' }, 'activations')
}

export function capacityBytes({
  kvPages,
  pageTokens,
  contextLength,
  maxBatchTokens,
}: RingCapacity): Uint8Array {
  return new Uint8Array(Int32Array.of(kvPages, pageTokens, contextLength, maxBatchTokens).buffer)
}

/** @returns null if that is no capacity */
export function readCapacity(data: Uint8Array): RingCapacity | null {
  if (data.byteLength !== 16) return null
  const values = new Int32Array(data.slice().buffer)
  if (values.some((value) => value < 1)) return null
  const [kvPages = 0, pageTokens = 0, contextLength = 0, maxBatchTokens = 0] = values
  return { kvPages, pageTokens, contextLength, maxBatchTokens }
}

/** What all ranks hold. */
export function smallest(capacities: readonly RingCapacity[]): RingCapacity {
  const least = (pick: (capacity: RingCapacity) => number) => Math.min(...capacities.map(pick))
  return {
    kvPages: least(({ kvPages }) => kvPages),
    pageTokens: capacities[0]!.pageTokens,
    contextLength: least(({ contextLength }) => contextLength),
    maxBatchTokens: least(({ maxBatchTokens }) => maxBatchTokens),
  }
}

/** What rank 0 may ask of the others. */
export type SharedRequest =
  | Extract<EngineRequest, { type: 'open' | 'close' | 'step' }>
  | { readonly type: 'reset'; readonly id: number }

export const encodeRequest = (request: SharedRequest, payload: Uint8Array): Uint8Array => {
  const frame = encodeFrame(request, payload)
  const padded = Math.ceil(frame.length / 4) * 4
  return padded === frame.length ? frame : Buffer.concat([frame, Buffer.alloc(padded - frame.length)])
}

/** @returns null for anything else */
export function decodeRequest(
  data: Uint8Array,
): { readonly message: SharedRequest; readonly payload: Uint8Array } | null {
  const reader = new FrameReader<EngineRequest>()
  reader.push(data)
  const frame = reader.next()
  if (!frame) return null
  const { message, payload } = frame
  switch (message.type) {
    case 'open':
    case 'close':
    case 'step':
      return { message, payload }
    case 'reset':
      return { message: { type: 'reset', id: message.id }, payload }
    default:
      return null
  }
}
