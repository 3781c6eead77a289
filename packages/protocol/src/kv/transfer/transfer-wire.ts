import { type LayerRange, layerCount, ringId, type SessionId, sessionId } from '@deos/domain'
import { ByteReader } from '../../wire/byte-reader.ts'
import { ByteWriter, encodeText } from '../../wire/byte-writer.ts'
import { HEADER_BYTES, writeHeader } from '../../wire/frame-header.ts'
import { malformed, overLimit } from '../../wire/wire-error.ts'
import type { WireLimits } from '../../wire/wire-limits.ts'
import { blocksOf } from './kv-slice.ts'
import {
  KV_GUARD_ROWS,
  KV_GUARD_TOP,
  KV_GUEST_KEY_BYTES,
  KV_ID_BYTES,
  type KvAddress,
  type KvGuardRow,
  type KvMessage,
  type KvRoute,
  type KvShape,
  type KvVerdict,
  NO_LEVEL,
} from './transfer-messages.ts'

/** Bytes of KV messages: fixed binary meta like steps have, blocks, ids and bitmaps as raw payload. */

export type KvMessageType = KvMessage['type']

const MAX_POSITION = 0x7fffffff
const ADDRESS_BYTES = 7
const outcomes = ['keep', 'drop'] as const
const roles = ['send', 'receive'] as const
const nothing = new Uint8Array(0)

/** Writes into a buffer that grows; the frame is cut to size at the end. */
class MetaWriter {
  #bytes = new Uint8Array(256)
  #length = HEADER_BYTES

  constructor(private readonly message: KvMessage) {
    this.text('session', message.session)
  }

  number(field: string, bytes: 1 | 2 | 4 | 8, value: number): void {
    const writer = this.#room(bytes)
    if (bytes === 8) writer.f64(value)
    else if (bytes === 4) writer.u32(field, value)
    else if (bytes === 2) writer.u16(field, value)
    else if (value >>> 0 === value && value <= 0xff) writer.u8(value)
    else throw malformed(`${this.message.type}.${field}`, `cannot hold ${value}`)
  }

  text(field: string, text: string): void {
    const bytes = encodeText(text)
    this.number(`${field}.length`, 2, bytes.length)
    this.#room(bytes.length).raw(bytes)
  }

  layers({ first, end }: LayerRange): void {
    this.number('layers.first', 2, first)
    this.number('layers.end', 2, end)
  }

  levels(levels: readonly number[]): void {
    this.number('levels.length', 2, levels.length)
    for (const level of levels) this.number('levels', 1, level)
  }

  address({ block, layer, part }: KvAddress): void {
    this.number('block', 4, block)
    this.number('layer', 2, layer)
    this.number('part', 1, part)
  }

  /** @param payload - not copied; what is missing to a multiple of four follows it */
  finish(payload: Uint8Array = nothing): readonly Uint8Array[] {
    const padding = -payload.length & 3
    writeHeader(new DataView(this.#bytes.buffer), {
      type: this.message.type,
      metaBytes: this.#length - HEADER_BYTES,
      payloadBytes: payload.length + padding,
      epoch: this.message.epoch,
    })
    const frame = this.#bytes.subarray(0, this.#length)
    if (payload.length === 0) return [frame]
    return padding === 0 ? [frame, payload] : [frame, payload, new Uint8Array(padding)]
  }

  #room(bytes: number): ByteWriter {
    const end = this.#length + bytes
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.length * 2))
      grown.set(this.#bytes)
      this.#bytes = grown
    }
    const writer = new ByteWriter(this.#bytes, this.#length, this.message.type)
    this.#length = end
    return writer
  }
}

/** @throws WireError if a number does not fit its field */
export function encodeKv(message: KvMessage): readonly Uint8Array[] {
  if (message.epoch >>> 0 !== message.epoch) {
    throw malformed(`${message.type}.epoch`, `cannot hold ${message.epoch}`)
  }
  const meta = new MetaWriter(message)
  switch (message.type) {
    case 'kv-introduce':
      meta.text('peer', message.peer)
      meta.text('ring', message.ring)
      meta.text('address', message.address)
      return meta.finish(message.key)
    case 'kv-plan':
      meta.number('role', 1, roles.indexOf(message.role))
      meta.number('length', 4, message.shape.length)
      meta.number('blockTokens', 4, message.shape.blockTokens)
      meta.number('parts', 1, message.shape.parts)
      meta.layers(message.layers)
      meta.levels(message.levels)
      meta.number('enhanceTo', 1, message.enhanceTo ?? NO_LEVEL)
      meta.text('calibration', message.calibration ?? '')
      meta.number('maxBlockBytes', 4, message.maxBlockBytes)
      meta.number('deadlineMs', 8, message.deadlineMs)
      meta.number('routes.length', 2, message.routes.length)
      for (const { peer, layers } of message.routes) {
        meta.text('routes.peer', peer)
        meta.layers(layers)
      }
      return meta.finish(message.ids)
    case 'kv-offer':
      meta.number('offer', 4, message.offer)
      meta.layers(message.layers)
      return meta.finish()
    case 'kv-have':
      meta.number('offer', 4, message.offer)
      meta.number('windowBytes', 4, message.windowBytes)
      meta.number('count', 4, message.count)
      return meta.finish(message.bits)
    case 'kv-block':
      meta.address(message)
      meta.number('level', 1, message.level)
      meta.number('basis', 4, message.basis)
      meta.number('checksum', 4, message.checksum)
      meta.number('size', 4, message.bytes.length)
      return meta.finish(message.bytes)
    case 'kv-ack':
      meta.number('verdicts.length', 4, message.verdicts.length)
      for (const verdict of message.verdicts) {
        meta.address(verdict)
        meta.number('level', 1, verdict.level)
        meta.number('stored', 1, verdict.stored ? 1 : 0)
      }
      return meta.finish()
    case 'kv-commit':
      meta.number('partial', 1, message.partial ? 1 : 0)
      meta.levels(message.levels)
      return meta.finish()
    case 'kv-committed':
      meta.number('position', 4, message.position)
      meta.number('partial', 1, message.partial ? 1 : 0)
      meta.number('coarsest', 1, message.coarsest)
      meta.number('bytes', 8, message.bytes)
      return meta.finish()
    case 'kv-abort':
      meta.number('outcome', 1, outcomes.indexOf(message.outcome))
      meta.text('reason', message.reason)
      meta.number('bytes', 8, message.bytes)
      return meta.finish()
    case 'kv-guard':
      meta.number('rows.length', 1, message.rows.length)
      for (const row of message.rows) {
        meta.number('position', 4, row.position)
        meta.number('logSumExp', 8, row.logSumExp)
        meta.number('top.length', 1, row.top.length)
        for (const { token, logit } of row.top) {
          meta.number('token', 4, token)
          meta.number('logit', 8, logit)
        }
      }
      return meta.finish()
  }
}

/** Reads meta fields with the message's type in every error. */
class MetaReader {
  readonly #reader: ByteReader

  constructor(
    readonly type: KvMessageType,
    meta: Uint8Array,
    private readonly limits: WireLimits,
  ) {
    this.#reader = new ByteReader(meta, type)
  }

  fail(field: string, problem: string): Error {
    return malformed(`${this.type}.${field}`, problem)
  }

  number(field: string, bytes: 1 | 2 | 4, min = 0, max = 0xffffffff): number {
    const reader = this.#reader
    const value = bytes === 4 ? reader.u32(field) : bytes === 2 ? reader.u16(field) : reader.u8(field)
    if (value < min || value > max) throw this.fail(field, `is ${value}, outside ${min} to ${max}`)
    return value
  }

  finite(field: string): number {
    const value = this.#reader.f64(field)
    if (!Number.isFinite(value)) throw this.fail(field, 'is not a finite number')
    return value
  }

  text(field: string, maxBytes: number): string {
    const length = this.number(`${field}.length`, 2)
    if (length > maxBytes) throw overLimit(`${this.type}.${field}.length`, length, maxBytes)
    return this.#reader.text(field, length)
  }

  id(field: string): string {
    const id = this.text(field, this.limits.maxIdBytes)
    if (id === '') throw this.fail(field, 'is empty')
    return id
  }

  session(): SessionId {
    return sessionId(this.id('session'))
  }

  /** A number of items that `itemBytes` each can still follow. */
  count(field: string, bytes: 1 | 2 | 4, itemBytes: number, limit: number): number {
    const count = this.number(`${field}.length`, bytes)
    if (count > limit) throw overLimit(`${this.type}.${field}.length`, count, limit)
    if (count * itemBytes > this.#reader.left) {
      throw this.fail(`${field}.length`, `is ${count}, more than ${this.#reader.left} bytes hold`)
    }
    return count
  }

  layers(): LayerRange {
    const first = this.number('layers.first', 2)
    const end = this.number('layers.end', 2)
    if (first >= end) throw this.fail('layers', `are [${first}, ${end})`)
    return { first, end }
  }

  levels(): readonly number[] {
    const count = this.count('levels', 2, 1, this.limits.maxListItems)
    return Array.from({ length: count }, () => this.number('levels', 1, 0, NO_LEVEL - 1))
  }

  address(): KvAddress {
    const block = this.number('block', 4, 0, MAX_POSITION)
    const layer = this.number('layer', 2)
    return { block, layer, part: this.number('part', 1, 0, 1) }
  }

  flag(field: string): boolean {
    return this.number(field, 1, 0, 1) === 1
  }

  end(): void {
    this.#reader.end()
  }
}

/**
 * @param payload - kept, not copied
 * @throws WireError naming the first field that is out of range
 */
export function decodeKv(
  type: KvMessageType,
  meta: Uint8Array,
  payload: Uint8Array,
  epoch: number,
  limits: WireLimits,
): KvMessage {
  const reader = new MetaReader(type, meta, limits)
  const message = readMessage(reader, { epoch, session: reader.session() }, payload, limits)
  reader.end()
  return message
}

interface Heading {
  readonly epoch: number
  readonly session: SessionId
}

function readMessage(
  reader: MetaReader,
  heading: Heading,
  payload: Uint8Array,
  limits: WireLimits,
): KvMessage {
  switch (reader.type) {
    case 'kv-introduce':
      return readIntroduction(reader, heading, payload, limits)
    case 'kv-plan':
      return readPlan(reader, heading, payload, limits)
    case 'kv-offer':
      return { type: 'kv-offer', ...heading, offer: reader.number('offer', 4), layers: reader.layers() }
    case 'kv-have':
      return readHave(reader, heading, payload)
    case 'kv-block':
      return readBlock(reader, heading, payload)
    case 'kv-ack':
      return { type: 'kv-ack', ...heading, verdicts: readVerdicts(reader, limits) }
    case 'kv-commit':
      return { type: 'kv-commit', ...heading, partial: reader.flag('partial'), levels: reader.levels() }
    case 'kv-committed': {
      const position = reader.number('position', 4, 0, MAX_POSITION)
      const partial = reader.flag('partial')
      const coarsest = reader.number('coarsest', 1, 0, NO_LEVEL)
      return { type: 'kv-committed', ...heading, position, partial, coarsest, bytes: readSize(reader) }
    }
    case 'kv-abort': {
      const outcome = outcomes[reader.number('outcome', 1, 0, 1)]!
      const reason = reader.text('reason', limits.maxTextBytes)
      return { type: 'kv-abort', ...heading, outcome, reason, bytes: readSize(reader) }
    }
    case 'kv-guard':
      return { type: 'kv-guard', ...heading, rows: readRows(reader) }
  }
}

function readSize(reader: MetaReader): number {
  const bytes = reader.finite('bytes')
  if (!Number.isSafeInteger(bytes) || bytes < 0) throw reader.fail('bytes', `is ${bytes}, not a size`)
  return bytes
}

function readIntroduction(
  reader: MetaReader,
  heading: Heading,
  payload: Uint8Array,
  limits: WireLimits,
): KvMessage {
  const facts = {
    peer: reader.id('peer'),
    ring: ringId(reader.id('ring')),
    address: reader.text('address', limits.maxTextBytes),
  }
  if (payload.length !== KV_GUEST_KEY_BYTES) {
    throw reader.fail('payloadBytes', `is ${payload.length}, not ${KV_GUEST_KEY_BYTES} for a key`)
  }
  return { type: 'kv-introduce', ...heading, ...facts, key: payload }
}

function readPlan(reader: MetaReader, heading: Heading, payload: Uint8Array, limits: WireLimits): KvMessage {
  const role = roles[reader.number('role', 1, 0, 1)]!
  const shape: KvShape = {
    length: reader.number('length', 4, 1, MAX_POSITION),
    blockTokens: reader.number('blockTokens', 4, 1, MAX_POSITION),
    parts: reader.number('parts', 1, 1, 2) === 1 ? 1 : 2,
  }
  const layers = reader.layers()
  const levels = reader.levels()
  if (levels.length !== layerCount(layers)) {
    throw reader.fail('levels.length', `is ${levels.length} for ${layerCount(layers)} layers`)
  }
  const enhance = reader.number('enhanceTo', 1)
  const calibration = reader.text('calibration', limits.maxIdBytes)
  const maxBlockBytes = reader.number('maxBlockBytes', 4, 1)
  const deadlineMs = reader.finite('deadlineMs')
  const count = reader.count('routes', 2, 6, limits.maxListItems)
  const routes: KvRoute[] = []
  for (let index = 0; index < count; index++) {
    const peer = reader.id('routes.peer')
    const common = reader.layers()
    if (common.first < layers.first || common.end > layers.end) {
      throw reader.fail('routes.layers', `[${common.first}, ${common.end}) lie outside the worker's own`)
    }
    routes.push({ peer, layers: common })
  }
  const expected = blocksOf(shape) * KV_ID_BYTES
  if (payload.length !== expected) {
    throw reader.fail('payloadBytes', `is ${payload.length}, not ${expected} for the ids of all blocks`)
  }
  const enhanceTo = enhance === NO_LEVEL ? null : enhance
  const facts = { role, shape, layers, levels, enhanceTo, maxBlockBytes, deadlineMs, routes }
  return { type: 'kv-plan', ...heading, ...facts, calibration: calibration || null, ids: payload }
}

function readHave(reader: MetaReader, heading: Heading, payload: Uint8Array): KvMessage {
  const offer = reader.number('offer', 4)
  const windowBytes = reader.number('windowBytes', 4)
  const count = reader.number('count', 4)
  const bytes = Math.ceil(count / 8)
  return { type: 'kv-have', ...heading, offer, windowBytes, count, bits: unpadded(reader, payload, bytes) }
}

function readBlock(reader: MetaReader, heading: Heading, payload: Uint8Array): KvMessage {
  const address = reader.address()
  const level = reader.number('level', 1, 0, NO_LEVEL - 1)
  const basis = reader.number('basis', 4)
  const checksum = reader.number('checksum', 4)
  const bytes = unpadded(reader, payload, reader.number('size', 4, 1))
  return { type: 'kv-block', ...heading, ...address, level, basis, checksum, bytes }
}

function unpadded(reader: MetaReader, payload: Uint8Array, size: number): Uint8Array {
  if (payload.length !== size + (-size & 3)) {
    throw reader.fail('payloadBytes', `is ${payload.length} for ${size} bytes of content`)
  }
  return payload.subarray(0, size)
}

function readVerdicts(reader: MetaReader, limits: WireLimits): readonly KvVerdict[] {
  const count = reader.count('verdicts', 4, ADDRESS_BYTES + 2, limits.maxEntries)
  return Array.from({ length: count }, () => {
    const address = reader.address()
    const level = reader.number('level', 1, 0, NO_LEVEL - 1)
    return { ...address, level, stored: reader.flag('stored') }
  })
}

function readRows(reader: MetaReader): readonly KvGuardRow[] {
  const count = reader.count('rows', 1, 13, KV_GUARD_ROWS)
  return Array.from({ length: count }, () => {
    const position = reader.number('position', 4, 0, MAX_POSITION)
    const logSumExp = reader.finite('logSumExp')
    const size = reader.count('top', 1, 12, KV_GUARD_TOP)
    const top = Array.from({ length: size }, () => {
      const token = reader.number('token', 4, 0, MAX_POSITION)
      return { token, logit: reader.finite('logit') }
    })
    return { position, logSumExp, top }
  })
}
