import { type SampledToken, sessionId, type TokenLogprobs } from '@deos/domain'
import type {
  CloseSession,
  FinishReason,
  StageTime,
  Step,
  StepDone,
  StepEntry,
  StepResult,
  TokenDelivery,
} from '../messages.ts'
import { ByteReader } from './byte-reader.ts'
import { ByteWriter, encodeText } from './byte-writer.ts'
import { HEADER_BYTES, type MessageType, writeHeader } from './frame-header.ts'
import { malformed, overLimit } from './wire-error.ts'
import type { WireLimits } from './wire-limits.ts'

/** Messages of every step have a fixed binary meta: no names, no generic codec, one allocation. */

const MAX_TOKEN = 0x7fffffff
const ENTRY_BYTES = 16
const PAGE_BYTES = 4
const RESULT_BYTES = 12
const TIME_BYTES = 12
/** Set in the count of a step's entries, whose limit is far below. */
const CODED = 0x8000_0000
const noPages: readonly number[] = []
const finishCodes = [null, 'stop', 'length'] as const

function beginFrame(type: MessageType, metaBytes: number, payloadBytes: number, epoch: number): ByteWriter {
  const writer = new ByteWriter(new Uint8Array(HEADER_BYTES + metaBytes), HEADER_BYTES, type)
  writeHeader(writer.view, { type, metaBytes, payloadBytes, epoch })
  return writer
}

export function encodeStep(message: Step): readonly Uint8Array[] {
  const { entries, hidden } = message
  let pages = 0
  for (const entry of entries) pages += entry.pages.length
  const metaBytes = 12 + entries.length * ENTRY_BYTES + timesBytes(message.times) + pages * PAGE_BYTES
  const writer = beginFrame('step', metaBytes, hidden.byteLength, message.epoch)
  writer.u53('step', message.step)
  writer.u32('entries.length', entries.length + (message.coded ? CODED : 0))
  for (const entry of entries) {
    writer.u32('key', entry.key)
    writer.u32('position', entry.position)
    writer.u32('count', entry.count)
    writer.u32('flags', (entry.pages.length << 1) | (entry.sample ? 1 : 0))
  }
  writeTimes(writer, message.times)
  for (const entry of entries) for (const page of entry.pages) writer.u32('page', page)
  return hidden.byteLength === 0 ? [writer.bytes] : [writer.bytes, hidden]
}

/** @param payload - kept as `hidden`, not copied */
export function decodeStep(meta: Uint8Array, payload: Uint8Array, epoch: number, limits: WireLimits): Step {
  const reader = new ByteReader(meta, 'step')
  const step = reader.u53('step')
  const counted = reader.u32('entries.length')
  const coded = counted >= CODED
  const length = coded ? counted - CODED : counted
  checkCount(length, reader, 'step.entries', ENTRY_BYTES, limits.maxEntries)
  const entries: StepEntry[] = []
  const pageCounts: number[] = []
  let total = 0
  for (let index = 0; index < length; index++) {
    const key = reader.u32('entries.key')
    const position = reader.u32('entries.position')
    const count = reader.u32('entries.count')
    const flags = reader.u32('entries.flags')
    if (count === 0) throw malformed(`step.entries[${index}].count`, 'is 0')
    if (position + count > MAX_TOKEN) throw malformed(`step.entries[${index}].position`, `is ${position}`)
    total += count
    pageCounts.push(flags >>> 1)
    entries.push({ key, position, count, sample: (flags & 1) === 1, pages: noPages })
  }
  const times = readTimes(reader, 'step', limits)
  for (const [index, pageCount] of pageCounts.entries()) {
    if (pageCount > 0) entries[index] = { ...entries[index]!, pages: readPages(reader, pageCount) }
  }
  reader.end()
  if (total === 0) throw malformed('step.entries', 'is empty')
  if (coded ? payload.byteLength === 0 : payload.byteLength % (4 * total) !== 0) {
    throw malformed('step.payloadBytes', `is ${payload.byteLength}, not float32 rows for ${total} tokens`)
  }
  return { type: 'step', epoch, step, entries, times, hidden: payload, ...(coded && { coded }) }
}

function readPages(reader: ByteReader, count: number): readonly number[] {
  if (count * PAGE_BYTES > reader.left) {
    throw malformed('step.pages', `are ${count}, more than ${reader.left} bytes hold`)
  }
  return Array.from({ length: count }, () => reader.u32('page'))
}

export function encodeStepDone(message: StepDone): readonly Uint8Array[] {
  const { results } = message
  const writer = beginFrame('step-done', 16 + results.length * RESULT_BYTES, 0, message.epoch)
  writer.u53('step', message.step)
  writer.u32('results.length', results.length)
  for (const result of results) {
    writer.u32('key', result.key)
    writer.u32('token', result.token >>> 0)
    writer.u32('finish', finishCodes.indexOf(result.finish))
  }
  writer.u32('engineUs', message.engineUs)
  return [writer.bytes]
}

export function decodeStepDone(meta: Uint8Array, epoch: number, limits: WireLimits): StepDone {
  const reader = new ByteReader(meta, 'step-done')
  const step = reader.u53('step')
  const length = readCount(reader, 'step-done.results', RESULT_BYTES, limits.maxEntries)
  const results: StepResult[] = []
  for (let index = 0; index < length; index++) {
    const key = reader.u32('results.key')
    const token = readResultToken(reader)
    const finish = readFinish(reader.u32('results.finish'), 'step-done.results.finish')
    results.push({ key, token, finish })
  }
  const engineUs = reader.u32('engineUs')
  reader.end()
  return { type: 'step-done', epoch, step, results, engineUs }
}

export function encodeClose(message: CloseSession): readonly Uint8Array[] {
  const writer = beginFrame('close', 4, 0, message.epoch)
  writer.u32('key', message.key)
  return [writer.bytes]
}

export function decodeClose(meta: Uint8Array, epoch: number): CloseSession {
  const reader = new ByteReader(meta, 'close')
  const key = reader.u32('key')
  reader.end()
  return { type: 'close', epoch, key }
}

export function encodeToken(message: TokenDelivery): readonly Uint8Array[] {
  const session = encodeText(message.session)
  const { token, logprobs } = message.sampled
  const logprobBytes = logprobs === null ? 0 : 12 + logprobs.top.length * 12
  const writer = beginFrame('token', 2 + session.length + 14 + timesBytes(message.times) + logprobBytes, 0, 0)
  writer.u16('session.length', session.length)
  writer.raw(session)
  writer.u32('index', message.index)
  writer.u32('token', token)
  writeTimes(writer, message.times)
  writer.u32('cachedTokens', message.cachedTokens)
  writer.u8(finishCodes.indexOf(message.finish))
  writer.u8(logprobs === null ? 0 : 1)
  if (logprobs !== null) {
    writer.f64(logprobs.logprob)
    writer.u32('top.length', logprobs.top.length)
    for (const alternative of logprobs.top) {
      writer.u32('top.token', alternative.token)
      writer.f64(alternative.logprob)
    }
  }
  return [writer.bytes]
}

export function decodeToken(meta: Uint8Array, limits: WireLimits): TokenDelivery {
  const reader = new ByteReader(meta, 'token')
  const idBytes = reader.u16('session.length')
  if (idBytes === 0) throw malformed('token.session', 'is empty')
  if (idBytes > limits.maxIdBytes) throw overLimit('token.session.length', idBytes, limits.maxIdBytes)
  const session = sessionId(reader.text('session', idBytes))
  const index = reader.u32('index')
  const token = readToken(reader, 'token', 'token')
  const times = readTimes(reader, 'token', limits)
  const cachedTokens = readToken(reader, 'token', 'cachedTokens')
  const finish = readFinish(reader.u8('finish'), 'token.finish')
  const flag = reader.u8('logprobs')
  if (flag > 1) throw malformed('token.logprobs', `is flagged ${flag}`)
  const sampled: SampledToken = { token, logprobs: flag === 1 ? readLogprobs(reader, limits) : null }
  reader.end()
  return { type: 'token', session, index, sampled, finish, times, cachedTokens }
}

const timesBytes = (times: readonly StageTime[]): number => 4 + times.length * TIME_BYTES

function writeTimes(writer: ByteWriter, times: readonly StageTime[]): void {
  writer.u32('times.length', times.length)
  for (const { waitUs, computeUs, linkUs } of times) {
    writer.u32('times.waitUs', waitUs)
    writer.u32('times.computeUs', computeUs)
    writer.u32('times.linkUs', linkUs)
  }
}

function readTimes(reader: ByteReader, type: string, limits: WireLimits): readonly StageTime[] {
  const length = readCount(reader, `${type}.times`, TIME_BYTES, limits.maxListItems)
  return Array.from({ length }, () => ({
    waitUs: reader.u32('times.waitUs'),
    computeUs: reader.u32('times.computeUs'),
    linkUs: reader.u32('times.linkUs'),
  }))
}

function readLogprobs(reader: ByteReader, limits: WireLimits): TokenLogprobs {
  const logprob = readLogprob(reader, 'logprob')
  const length = readCount(reader, 'token.top', 12, limits.maxListItems)
  const top: { token: number; logprob: number }[] = []
  for (let index = 0; index < length; index++) {
    const token = readToken(reader, 'token', 'top.token')
    top.push({ token, logprob: readLogprob(reader, 'top.logprob') })
  }
  return { logprob, top }
}

function readLogprob(reader: ByteReader, field: string): number {
  const value = reader.f64(field)
  if (Number.isNaN(value)) throw malformed(`token.${field}`, 'is not a number')
  return value
}

function readToken(reader: ByteReader, type: string, field: string): number {
  const token = reader.u32(field)
  if (token > MAX_TOKEN) throw malformed(`${type}.${field}`, `is ${token}, beyond any vocabulary`)
  return token
}

/** A token, or -1 for a vector. */
function readResultToken(reader: ByteReader): number {
  const token = reader.u32('results.token')
  if (token === 0xffffffff) return -1
  if (token > MAX_TOKEN) throw malformed('step-done.results.token', `is ${token}, beyond any vocabulary`)
  return token
}

function readFinish(code: number, field: string): FinishReason | null {
  const finish = finishCodes[code]
  if (finish === undefined) throw malformed(field, `is ${code}`)
  return finish
}

function readCount(reader: ByteReader, field: string, itemBytes: number, limit: number): number {
  const length = reader.u32('length')
  checkCount(length, reader, field, itemBytes, limit)
  return length
}

function checkCount(
  length: number,
  reader: ByteReader,
  field: string,
  itemBytes: number,
  limit: number,
): void {
  if (length > limit) throw overLimit(`${field}.length`, length, limit)
  if (length * itemBytes > reader.left) {
    throw malformed(`${field}.length`, `is ${length}, more than ${reader.left} bytes hold`)
  }
}
