import { modelId, ringId, type SamplingParams, sessionId, workerId } from '@deos/domain'
import { Packr } from 'msgpackr'
import type { KvMessage } from '../kv/transfer/transfer-messages.ts'
import type {
  EmbeddingDelivery,
  Failed,
  Fault,
  Hello,
  ImportRequest,
  Message,
  OpenRequest,
  OpenSession,
  Pooling,
  Prepare,
  Probe,
  Rejected,
  RingCapacity,
  RingStatus,
  RingUsage,
  SessionNeeds,
  StageKv,
  StageReport,
} from '../messages.ts'
import { rankMessageKinds } from '../messages.ts'
import { Fields, integerAt, numberAt, pairAt } from './fields.ts'
import { type FrameHeader, HEADER_BYTES, writeHeader } from './frame-header.ts'
import { checkMsgpackShape } from './msgpack-shape.ts'
import { malformed, overLimit } from './wire-error.ts'
import type { WireLimits } from './wire-limits.ts'

/** Messages that are rare beside steps: a MessagePack map as meta, prompt tokens, pages and vectors as raw payload. */

export type HotType = 'step' | 'step-done' | 'token' | 'close'
export type ControlMessage = Exclude<Message, { readonly type: HotType } | KvMessage>

const packr = new Packr({ useRecords: false, int64AsType: 'number' })
const MAX_TOKEN = 0x7fffffff
const nothing = new Uint8Array(0)

/** What travels as payload instead of in the meta. */
function payloadOf(message: ControlMessage): Uint8Array {
  switch (message.type) {
    case 'open-request':
      return bytesOf(message.tokens)
    case 'open':
      return message.pages.length === 0
        ? bytesOf(message.tokens)
        : bytesOf(Int32Array.from([...message.tokens, ...message.pages]))
    case 'embedding':
      return message.vector
    case 'import-request':
      return bytesOf(message.tokens)
    case 'import':
      return bytesOf(Int32Array.from(message.pages))
    case 'rank':
      return message.data
    default:
      return nothing
  }
}

const bytesOf = (values: Int32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength)

export function encodeControl(message: ControlMessage): readonly Uint8Array[] {
  const { type, ...rest } = message
  const epoch = 'epoch' in message ? message.epoch : 0
  const payload = payloadOf(message)
  const fields: Record<string, unknown> = rest
  if (message.type === 'open') fields.pageCount = message.pages.length
  for (const name of ['epoch', 'tokens', 'pages', 'vector', 'data']) delete fields[name]
  const meta = packr.pack(fields)
  const frame = new Uint8Array(HEADER_BYTES + meta.length)
  frame.set(meta, HEADER_BYTES)
  if (epoch >>> 0 !== epoch) throw malformed(`${type}.epoch`, `cannot hold ${epoch}`)
  writeHeader(new DataView(frame.buffer), {
    type,
    metaBytes: meta.length,
    payloadBytes: payload.length,
    epoch,
  })
  return payload.length === 0 ? [frame] : [frame, payload]
}

/** @throws WireError naming the first field that is missing, mistyped or out of range */
export function decodeControl(
  header: FrameHeader & { readonly type: ControlMessage['type'] },
  meta: Uint8Array,
  payload: Uint8Array,
  limits: WireLimits,
): ControlMessage {
  checkMsgpackShape(meta, `${header.type}.meta`)
  const fields = new Fields(unpack(header.type, meta), header.type)
  const { epoch } = header
  switch (header.type) {
    case 'hello':
      return readHello(fields, limits)
    case 'heartbeat':
      return { type: 'heartbeat' }
    case 'open-request':
      return readOpenRequest(fields, payload, limits)
    case 'cancel-request':
      return { type: 'cancel-request', session: sessionId(fields.id('session', limits.maxIdBytes)) }
    case 'spare-request':
      return { type: 'spare-request', session: sessionId(fields.id('session', limits.maxIdBytes)) }
    case 'rejected':
      return readRejected(fields, limits)
    case 'failed':
      return readFailed(fields, limits)
    case 'status':
      return readStatus(fields, epoch, limits)
    case 'open':
      return readOpen(fields, payload, epoch, limits)
    case 'prepare':
      return readPrepare(fields, epoch, limits)
    case 'embedding':
      return readEmbedding(fields, payload, limits)
    case 'probe':
      return readProbe(fields, epoch, limits)
    case 'fault':
      return readFault(fields, epoch, limits)
    case 'import-request':
      return readImportRequest(fields, payload, limits)
    case 'import-ready':
      return {
        type: 'import-ready',
        session: sessionId(fields.id('session', limits.maxIdBytes)),
        cachedTokens: fields.integer('cachedTokens', 0, MAX_TOKEN),
        end: fields.integer('end', 0, MAX_TOKEN),
      }
    case 'import-commit':
      return {
        type: 'import-commit',
        session: sessionId(fields.id('session', limits.maxIdBytes)),
        position: fields.integer('position', 0, MAX_TOKEN),
        keep: fields.boolean('keep'),
      }
    case 'rank':
      return {
        type: 'rank',
        epoch,
        kind: fields.oneOf('kind', rankMessageKinds),
        from: fields.integer('from'),
        to: fields.list('to', limits.maxListItems, (item, path) => integerAt(item, path, 0, 0xffff)),
        reason: fields.text('reason', limits.maxTextBytes),
        data: payload,
      }
    case 'import':
      return {
        type: 'import',
        epoch,
        key: fields.integer('key'),
        session: sessionId(fields.id('session', limits.maxIdBytes)),
        gateway: fields.id('gateway', limits.maxIdBytes),
        first: fields.integer('first', 0, MAX_TOKEN),
        end: fields.integer('end', 0, MAX_TOKEN),
        pages: Array.from(readTokens('import', payload)),
      }
  }
}

function unpack(type: string, meta: Uint8Array): unknown {
  try {
    return packr.unpack(meta)
  } catch (cause) {
    throw malformed(
      `${type}.meta`,
      `is not MessagePack (${cause instanceof Error ? cause.message : 'unknown'})`,
    )
  }
}

function readHello(fields: Fields, limits: WireLimits): Hello {
  return {
    type: 'hello',
    version: fields.integer('version'),
    role: fields.oneOf('role', ['gateway', 'worker', 'guest', 'rank']),
    peer: fields.id('peer', limits.maxIdBytes),
    ring: ringId(fields.id('ring', limits.maxIdBytes)),
  }
}

function readOpenRequest(fields: Fields, payload: Uint8Array, limits: WireLimits): OpenRequest {
  const tokens = readTokens('open-request', payload)
  return {
    type: 'open-request',
    session: sessionId(fields.id('session', limits.maxIdBytes)),
    tokens,
    resumed: fields.integer('resumed', 0, tokens.length),
    maxTokens: fields.integer('maxTokens', 0, MAX_TOKEN),
    stopTokens: fields.list('stopTokens', limits.maxListItems, readToken),
    sampling: readSampling(fields.child('sampling'), limits),
    deadlineMs: fields.number('deadlineMs', 0),
    tenant: fields.text('tenant', limits.maxIdBytes),
    priority: fields.integer('priority', -100, 100),
    needs: readNeeds(fields.child('needs'), limits),
    pooling: readPooling(fields),
    trace: readTrace(fields, limits),
  }
}

function readImportRequest(fields: Fields, payload: Uint8Array, limits: WireLimits): ImportRequest {
  return {
    type: 'import-request',
    session: sessionId(fields.id('session', limits.maxIdBytes)),
    tokens: readTokens('import-request', payload),
    tenant: fields.text('tenant', limits.maxIdBytes),
    adapter: fields.isNull('adapter') ? null : fields.id('adapter', limits.maxIdBytes),
    deadlineMs: fields.number('deadlineMs', 0),
  }
}

function readNeeds(fields: Fields, limits: WireLimits): SessionNeeds {
  return {
    adapter: fields.isNull('adapter') ? null : fields.id('adapter', limits.maxIdBytes),
    grammar: fields.isNull('grammar') ? null : fields.id('grammar', limits.maxGrammarBytes),
  }
}

const readPooling = (fields: Fields): Pooling | null =>
  fields.isNull('pooling') ? null : fields.oneOf<Pooling>('pooling', ['mean', 'last'])

const readTrace = (fields: Fields, limits: WireLimits): string | null =>
  fields.isNull('trace') ? null : fields.id('trace', limits.maxIdBytes)

function readOpen(fields: Fields, payload: Uint8Array, epoch: number, limits: WireLimits): OpenSession {
  const values = readTokens('open', payload)
  const pageCount = fields.integer('pageCount', 0, values.length)
  const tokens = values.subarray(0, values.length - pageCount)
  if (tokens.length === 0) throw malformed('open.tokens', 'is empty')
  return {
    type: 'open',
    epoch,
    key: fields.integer('key'),
    session: sessionId(fields.id('session', limits.maxIdBytes)),
    gateway: fields.id('gateway', limits.maxIdBytes),
    tokens,
    resumed: fields.integer('resumed', 0, tokens.length),
    maxTokens: fields.integer('maxTokens', 0, MAX_TOKEN),
    stopTokens: fields.list('stopTokens', limits.maxListItems, readToken),
    sampling: readSampling(fields.child('sampling'), limits),
    needs: readNeeds(fields.child('needs'), limits),
    pooling: readPooling(fields),
    trace: readTrace(fields, limits),
    cachedTokens: fields.integer('cachedTokens', 0, tokens.length - 1),
    pages: Array.from(values.subarray(tokens.length)),
  }
}

function readPrepare(fields: Fields, epoch: number, limits: WireLimits): Prepare {
  return {
    type: 'prepare',
    epoch,
    request: fields.integer('request'),
    needs: readNeeds(fields.child('needs'), limits),
    maxTokens: fields.integer('maxTokens', 0, MAX_TOKEN),
    problem: fields.isNull('problem') ? null : fields.text('problem', limits.maxTextBytes),
  }
}

function readEmbedding(fields: Fields, payload: Uint8Array, limits: WireLimits): EmbeddingDelivery {
  return {
    type: 'embedding',
    session: sessionId(fields.id('session', limits.maxIdBytes)),
    vector: payload,
  }
}

function readRejected(fields: Fields, limits: WireLimits): Rejected {
  return {
    type: 'rejected',
    session: sessionId(fields.id('session', limits.maxIdBytes)),
    code: fields.oneOf('code', ['queue_full', 'not_ready', 'prompt_too_long', 'invalid', 'draining']),
    message: fields.text('message', limits.maxTextBytes),
    retryAfterMs: fields.number('retryAfterMs', 0),
  }
}

function readFailed(fields: Fields, limits: WireLimits): Failed {
  return {
    type: 'failed',
    session: sessionId(fields.id('session', limits.maxIdBytes)),
    code: fields.oneOf('code', ['ring_fault', 'deadline', 'cancelled']),
    message: fields.text('message', limits.maxTextBytes),
  }
}

function readStatus(fields: Fields, epoch: number, limits: WireLimits): RingStatus {
  return {
    type: 'status',
    ready: fields.boolean('ready'),
    epoch,
    reports: readReports(fields, limits),
    active: fields.integer('active'),
    queued: fields.integer('queued'),
    usage: readUsage(fields.child('usage')),
  }
}

function readUsage(fields: Fields): RingUsage {
  const sum = (name: keyof RingUsage) => fields.integer(name, 0, Number.MAX_SAFE_INTEGER)
  return {
    pages: sum('pages'),
    pagesFree: sum('pagesFree'),
    pagesCached: sum('pagesCached'),
    promptTokens: sum('promptTokens'),
    cachedTokens: sum('cachedTokens'),
    generatedTokens: sum('generatedTokens'),
    evictions: sum('evictions'),
    preemptions: sum('preemptions'),
    recomputedTokens: sum('recomputedTokens'),
  }
}

function readProbe(fields: Fields, epoch: number, limits: WireLimits): Probe {
  return {
    type: 'probe',
    epoch,
    sequence: fields.integer('sequence', 0, Number.MAX_SAFE_INTEGER),
    reports: readReports(fields, limits),
  }
}

function readFault(fields: Fields, epoch: number, limits: WireLimits): Fault {
  return {
    type: 'fault',
    epoch,
    stage: fields.integer('stage'),
    reason: fields.text('reason', limits.maxTextBytes),
  }
}

function readReports(fields: Fields, limits: WireLimits): readonly StageReport[] {
  return fields.list('reports', limits.maxListItems, (item, path) =>
    readReport(new Fields(item, path), limits),
  )
}

function readReport(fields: Fields, limits: WireLimits): StageReport {
  const layers = fields.list('layers', 2, (item, path) => integerAt(item, path))
  const [first, end] = layers
  if (first === undefined || end === undefined || first >= end) {
    throw malformed('reports.layers', `is [${layers.join(', ')}], not a range of layers`)
  }
  return {
    worker: workerId(fields.id('worker', limits.maxIdBytes)),
    stage: fields.integer('stage'),
    layers: [first, end],
    model: modelId(fields.id('model', limits.maxIdBytes)),
    kvPagesFree: fields.integer('kvPagesFree'),
    capacity: readCapacity(fields.child('capacity')),
    calibration: fields.isNull('calibration') ? null : fields.id('calibration', limits.maxIdBytes),
    kv: fields.isNull('kv') ? null : readStageKv(fields.child('kv'), limits),
  }
}

const readStageKv = (fields: Fields, limits: WireLimits): StageKv => ({
  type: fields.id('type', limits.maxIdBytes),
  columns: fields.integer('columns', 0),
})

function readCapacity(fields: Fields): RingCapacity {
  return {
    kvPages: fields.integer('kvPages', 1),
    pageTokens: fields.integer('pageTokens', 1),
    contextLength: fields.integer('contextLength', 1),
    maxBatchTokens: fields.integer('maxBatchTokens', 1),
  }
}

function readSampling(fields: Fields, limits: WireLimits): SamplingParams {
  const seed = fields.text('seed', 20)
  if (!/^\d{1,20}$/.test(seed) || BigInt(seed) > 0xffffffffffffffffn) {
    throw malformed('sampling.seed', `is ${JSON.stringify(seed)}, not an unsigned 64-bit integer`)
  }
  return {
    temperature: fields.number('temperature', 0),
    topK: fields.integer('topK'),
    topP: fields.number('topP', 0, 1),
    minP: fields.number('minP', 0, 1),
    repetitionPenalty: fields.number('repetitionPenalty', Number.MIN_VALUE),
    presencePenalty: fields.number('presencePenalty'),
    frequencyPenalty: fields.number('frequencyPenalty'),
    logitBias: fields.list('logitBias', limits.maxListItems, readBias),
    seed,
    logprobs: fields.isNull('logprobs') ? null : fields.integer('logprobs', 0, limits.maxListItems),
  }
}

function readBias(item: unknown, path: string): readonly [token: number, bias: number] {
  const [token, bias] = pairAt(item, path)
  return [readToken(token, `${path}[0]`), numberAt(bias, `${path}[1]`, -Number.MAX_VALUE, Number.MAX_VALUE)]
}

const readToken = (item: unknown, path: string): number => integerAt(item, path, 0, MAX_TOKEN)

/** Views the payload, which the frame decoder aligned; every host DeOS runs on is little-endian like the wire. */
function readTokens(type: string, payload: Uint8Array): Int32Array {
  const tokens = new Int32Array(payload.buffer, payload.byteOffset, payload.byteLength / 4)
  if (tokens.length > MAX_TOKEN) throw overLimit(`${type}.tokens.length`, tokens.length, MAX_TOKEN)
  const negative = tokens.findIndex((token) => token < 0)
  if (negative >= 0) throw malformed(`${type}.tokens[${negative}]`, `is ${tokens[negative]}, below 0`)
  return tokens
}
