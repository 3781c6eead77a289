import { type Message, PROTOCOL_VERSION } from '../messages.ts'
import { malformed, overLimit, WireError } from './wire-error.ts'
import type { WireLimits } from './wire-limits.ts'

/**
 * Little-endian, 16 bytes, before every frame:
 *
 * | offset | type | meaning |
 * |---|---|---|
 * | 0 | u16 | {@link FRAME_MAGIC} |
 * | 2 | u8 | protocol version |
 * | 3 | u8 | message type |
 * | 4 | u32 | bytes of meta |
 * | 8 | u32 | bytes of payload |
 * | 12 | u32 | ring epoch; 0 for messages without one |
 */
export const HEADER_BYTES = 16

/** `De`. */
export const FRAME_MAGIC = 0x6544

export type MessageType = Message['type']

interface TypeTraits {
  readonly code: number
  readonly payload: boolean
  readonly epoch: boolean
}

export const messageTypes: Readonly<Record<MessageType, TypeTraits>> = {
  hello: { code: 1, payload: false, epoch: false },
  'open-request': { code: 2, payload: true, epoch: false },
  'cancel-request': { code: 3, payload: false, epoch: false },
  rejected: { code: 4, payload: false, epoch: false },
  failed: { code: 5, payload: false, epoch: false },
  token: { code: 6, payload: false, epoch: false },
  status: { code: 7, payload: false, epoch: true },
  open: { code: 8, payload: true, epoch: true },
  close: { code: 9, payload: false, epoch: true },
  step: { code: 10, payload: true, epoch: true },
  'step-done': { code: 11, payload: false, epoch: true },
  probe: { code: 12, payload: false, epoch: true },
  fault: { code: 13, payload: false, epoch: true },
  heartbeat: { code: 14, payload: false, epoch: false },
  prepare: { code: 15, payload: false, epoch: true },
  embedding: { code: 16, payload: true, epoch: false },
  'import-request': { code: 17, payload: true, epoch: false },
  'import-ready': { code: 18, payload: false, epoch: false },
  'import-commit': { code: 19, payload: false, epoch: false },
  import: { code: 20, payload: true, epoch: true },
  rank: { code: 21, payload: true, epoch: true },
  'spare-request': { code: 22, payload: false, epoch: false },
  'kv-plan': { code: 32, payload: true, epoch: true },
  'kv-offer': { code: 33, payload: false, epoch: true },
  'kv-have': { code: 34, payload: true, epoch: true },
  'kv-block': { code: 35, payload: true, epoch: true },
  'kv-ack': { code: 36, payload: false, epoch: true },
  'kv-commit': { code: 37, payload: false, epoch: true },
  'kv-committed': { code: 38, payload: false, epoch: true },
  'kv-abort': { code: 39, payload: false, epoch: true },
  'kv-guard': { code: 40, payload: false, epoch: true },
  'kv-introduce': { code: 41, payload: true, epoch: true },
}

const typeByCode = new Map(
  Object.entries(messageTypes).map(([type, traits]) => [traits.code, type as MessageType]),
)

export interface FrameHeader {
  readonly type: MessageType
  readonly metaBytes: number
  readonly payloadBytes: number
  readonly epoch: number
}

export function writeHeader(view: DataView, header: FrameHeader): void {
  view.setUint16(0, FRAME_MAGIC, true)
  view.setUint8(2, PROTOCOL_VERSION)
  view.setUint8(3, messageTypes[header.type].code)
  view.setUint32(4, header.metaBytes, true)
  view.setUint32(8, header.payloadBytes, true)
  view.setUint32(12, header.epoch, true)
}

/** @throws WireError if the header is not one this side accepts */
export function readHeader(view: DataView, limits: WireLimits): FrameHeader {
  const magic = view.getUint16(0, true)
  if (magic !== FRAME_MAGIC) throw malformed('header.magic', `is 0x${magic.toString(16)}, not 0x6544`)
  const version = view.getUint8(2)
  if (version !== PROTOCOL_VERSION) throw versionMismatch('header.version', version)
  const code = view.getUint8(3)
  const type = typeByCode.get(code)
  if (type === undefined) throw malformed('header.type', `is ${code}, which is no message`)
  const traits = messageTypes[type]
  const metaBytes = view.getUint32(4, true)
  if (metaBytes === 0) throw malformed(`${type}.metaBytes`, 'is 0')
  if (metaBytes > limits.maxMetaBytes) throw overLimit(`${type}.metaBytes`, metaBytes, limits.maxMetaBytes)
  const payloadBytes = view.getUint32(8, true)
  if (payloadBytes > 0 && !traits.payload)
    throw malformed(`${type}.payloadBytes`, `is ${payloadBytes}, not 0`)
  if (payloadBytes > limits.maxPayloadBytes) {
    throw overLimit(`${type}.payloadBytes`, payloadBytes, limits.maxPayloadBytes)
  }
  if (payloadBytes % 4 !== 0)
    throw malformed(`${type}.payloadBytes`, `is ${payloadBytes}, not a multiple of 4`)
  const epoch = view.getUint32(12, true)
  if (epoch !== 0 && !traits.epoch) throw malformed(`${type}.epoch`, `is ${epoch}, not 0`)
  return { type, metaBytes, payloadBytes, epoch }
}

export const versionMismatch = (field: string, version: number): WireError =>
  new WireError('WIRE_VERSION', field, `is ${version}; this side speaks version ${PROTOCOL_VERSION}`)
