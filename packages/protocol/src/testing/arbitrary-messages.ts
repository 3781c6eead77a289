import { modelId, ringId, type SamplingParams, sessionId, workerId } from '@deos/domain'
import fc from 'fast-check'
import { blocksOf } from '../kv/transfer/kv-slice.ts'
import { KV_ID_BYTES, type KvPlan, type KvShape } from '../kv/transfer/transfer-messages.ts'
import type {
  FinishReason,
  Message,
  Pooling,
  RingCapacity,
  RingUsage,
  StageReport,
  StageTime,
  Step,
  StepEntry,
} from '../messages.ts'
import { rankMessageKinds } from '../messages.ts'

/** Generators of every valid message, for properties of codecs and transports. */

/** Without −0, which MessagePack writes as 0. */
const double = (min: number, max: number): fc.Arbitrary<number> =>
  fc.double({ min, max, noNaN: true }).map((value) => value || 0)

const u32 = fc.nat({ max: 0xffffffff })
const token = fc.nat({ max: 0x7fffffff })
const id = fc.string({ minLength: 1, maxLength: 24, unit: 'grapheme' })
const text = fc.string({ maxLength: 40, unit: 'grapheme' })
const finish = fc.constantFrom<FinishReason | null>(null, 'stop', 'length')
const amount = double(0, 1e9)
const logprob = double(Number.NEGATIVE_INFINITY, 0)

const tokens = (minLength: number): fc.Arbitrary<Int32Array> =>
  fc.array(token, { minLength, maxLength: 40 }).map((ids) => Int32Array.from(ids))

export const arbitrarySampling: fc.Arbitrary<SamplingParams> = fc.record({
  temperature: amount,
  topK: u32,
  topP: double(0, 1),
  minP: double(0, 1),
  repetitionPenalty: double(0.01, 10),
  presencePenalty: double(-2, 2),
  frequencyPenalty: double(-2, 2),
  logitBias: fc.array(fc.tuple(token, double(-100, 100)), { maxLength: 5 }),
  seed: fc.bigInt({ min: 0n, max: 0xffffffffffffffffn }).map(String),
  logprobs: fc.option(fc.nat({ max: 20 })),
})

const capacity: fc.Arbitrary<RingCapacity> = fc.record({
  kvPages: fc.integer({ min: 1, max: 1e6 }),
  pageTokens: fc.integer({ min: 1, max: 256 }),
  contextLength: fc.integer({ min: 1, max: 1e6 }),
  maxBatchTokens: fc.integer({ min: 1, max: 8192 }),
})

const report: fc.Arbitrary<StageReport> = fc.record({
  worker: id.map(workerId),
  stage: fc.nat({ max: 100 }),
  layers: fc.tuple(fc.nat({ max: 50 }), fc.integer({ min: 51, max: 100 })),
  model: id.map(modelId),
  kvPagesFree: u32,
  calibration: fc.option(id),
  capacity,
  kv: fc.option(fc.record({ type: id, columns: u32 })),
})
const reports = fc.array(report, { maxLength: 4 })

const sum = fc.maxSafeNat()
const usage: fc.Arbitrary<RingUsage> = fc.record({
  ...{ pages: sum, pagesFree: sum, pagesCached: sum, promptTokens: sum, cachedTokens: sum },
  ...{ generatedTokens: sum, evictions: sum, preemptions: sum, recomputedTokens: sum },
})

const times = fc.array(fc.record<StageTime>({ waitUs: u32, computeUs: u32, linkUs: u32 }), { maxLength: 4 })

const step: fc.Arbitrary<Step> = fc
  .record({
    epoch: u32,
    step: fc.maxSafeNat(),
    entries: fc.array(
      fc.record<StepEntry>({
        key: u32,
        position: fc.nat({ max: 1e6 }),
        count: fc.integer({ min: 1, max: 8 }),
        sample: fc.boolean(),
        pages: fc.array(u32, { maxLength: 3 }),
      }),
      { minLength: 1, maxLength: 6 },
    ),
    times,
    width: fc.nat({ max: 5 }),
    fill: fc.nat({ max: 255 }),
    coded: fc.boolean(),
  })
  .map(({ width, fill, coded, ...rest }) => {
    const total = rest.entries.reduce((sum, entry) => sum + entry.count, 0)
    if (coded)
      return { type: 'step' as const, ...rest, hidden: new Uint8Array(4 + 4 * width).fill(fill), coded }
    return { type: 'step' as const, ...rest, hidden: new Uint8Array(4 * width * total).fill(fill) }
  })

const generation = {
  session: id.map(sessionId),
  maxTokens: fc.integer({ min: 1, max: 0x7fffffff }),
  stopTokens: fc.array(token, { maxLength: 4 }),
  sampling: arbitrarySampling,
  needs: fc.record({ adapter: fc.option(id), grammar: fc.option(id) }),
  pooling: fc.option(fc.constantFrom<Pooling>('mean', 'last')),
  trace: fc.option(id),
}

/** `resumed` never exceeds the tokens there are. */
const withResumed = <T extends { readonly tokens: Int32Array }>(
  message: fc.Arbitrary<T>,
): fc.Arbitrary<T & { readonly resumed: number }> =>
  fc.tuple(message, fc.nat()).map(([m, n]) => ({ ...m, resumed: n % (m.tokens.length + 1) }))

const level = fc.nat({ max: 254 })
const epochAndSession = { epoch: u32, session: id.map(sessionId) }
const address = { block: token, layer: fc.nat({ max: 0xffff }), part: fc.nat({ max: 1 }) }
const layers = fc
  .tuple(fc.nat({ max: 100 }), fc.integer({ min: 1, max: 20 }))
  .map(([first, count]) => ({ first, end: first + count }))
const logit = fc.double({ min: -1e6, max: 1e6, noNaN: true })

const shape: fc.Arbitrary<KvShape> = fc.record({
  length: fc.integer({ min: 1, max: 1000 }),
  blockTokens: fc.integer({ min: 100, max: 200 }),
  parts: fc.constantFrom<1 | 2>(1, 2),
})

const plan: fc.Arbitrary<KvPlan> = fc
  .record({
    ...epochAndSession,
    role: fc.constantFrom('send', 'receive'),
    shape,
    layers,
    level,
    enhanceTo: fc.option(level),
    calibration: fc.option(id),
    maxBlockBytes: fc.integer({ min: 1, max: 0xffffffff }),
    deadlineMs: logit,
    peers: fc.array(id, { maxLength: 4 }),
    fill: fc.nat({ max: 255 }),
  })
  .map(({ level: coarsest, peers, fill, ...rest }) => ({
    type: 'kv-plan',
    ...rest,
    levels: new Array<number>(rest.layers.end - rest.layers.first).fill(coarsest),
    routes: peers.map((peer) => ({ peer, layers: rest.layers })),
    ids: new Uint8Array(blocksOf(rest.shape) * KV_ID_BYTES).fill(fill),
  }))

/** One generator for each message type, so that none is left out. */
export const messageArbitraries: {
  readonly [T in Message['type']]: fc.Arbitrary<Extract<Message, { type: T }>>
} = {
  hello: fc.record({
    type: fc.constant('hello'),
    version: fc.nat({ max: 255 }),
    role: fc.constantFrom('gateway', 'worker'),
    peer: id,
    ring: id.map(ringId),
  }),
  heartbeat: fc.record({ type: fc.constant('heartbeat') }),
  'open-request': withResumed(
    fc.record({
      type: fc.constant('open-request'),
      tokens: tokens(0),
      deadlineMs: amount,
      tenant: text,
      priority: fc.integer({ min: -100, max: 100 }),
      ...generation,
    }),
  ),
  'cancel-request': fc.record({ type: fc.constant('cancel-request'), session: id.map(sessionId) }),
  'spare-request': fc.record({ type: fc.constant('spare-request'), session: id.map(sessionId) }),
  rejected: fc.record({
    type: fc.constant('rejected'),
    session: id.map(sessionId),
    code: fc.constantFrom('queue_full', 'not_ready', 'prompt_too_long', 'invalid', 'draining'),
    message: text,
    retryAfterMs: amount,
  }),
  failed: fc.record({
    type: fc.constant('failed'),
    session: id.map(sessionId),
    code: fc.constantFrom('ring_fault', 'deadline', 'cancelled'),
    message: text,
  }),
  token: fc.record({
    type: fc.constant('token'),
    session: id.map(sessionId),
    index: u32,
    sampled: fc.record({
      token,
      logprobs: fc.option(
        fc.record({ logprob, top: fc.array(fc.record({ token, logprob }), { maxLength: 5 }) }),
      ),
    }),
    finish,
    times,
    cachedTokens: token,
  }),
  embedding: fc.record({
    type: fc.constant('embedding'),
    session: id.map(sessionId),
    vector: fc
      .uint8Array({ maxLength: 8 })
      .map((bytes) => new Uint8Array(bytes.length * 4).fill(bytes[0] ?? 0)),
  }),
  prepare: fc.record({
    type: fc.constant('prepare'),
    epoch: u32,
    request: u32,
    needs: generation.needs,
    maxTokens: generation.maxTokens,
    problem: fc.option(text),
  }),
  status: fc.record({
    type: fc.constant('status'),
    ready: fc.boolean(),
    epoch: u32,
    reports,
    active: u32,
    queued: u32,
    usage,
  }),
  open: withResumed(
    fc.record({
      type: fc.constant('open'),
      epoch: u32,
      key: u32,
      gateway: id,
      tokens: tokens(1),
      cachedTokens: fc.constant(0),
      pages: fc.array(token, { maxLength: 5 }),
      ...generation,
    }),
  ),
  close: fc.record({ type: fc.constant('close'), epoch: u32, key: u32 }),
  step,
  'step-done': fc.record({
    type: fc.constant('step-done'),
    epoch: u32,
    step: fc.maxSafeNat(),
    results: fc.array(fc.record({ key: u32, token: fc.oneof(token, fc.constant(-1)), finish }), {
      maxLength: 5,
    }),
    engineUs: u32,
  }),
  probe: fc.record({ type: fc.constant('probe'), epoch: u32, sequence: fc.maxSafeNat(), reports }),
  'import-request': fc.record({
    type: fc.constant('import-request'),
    session: id.map(sessionId),
    tokens: tokens(0),
    tenant: text,
    adapter: fc.option(id),
    deadlineMs: amount,
  }),
  'import-ready': fc.record({
    type: fc.constant('import-ready'),
    session: id.map(sessionId),
    cachedTokens: token,
    end: token,
  }),
  'import-commit': fc.record({
    type: fc.constant('import-commit'),
    session: id.map(sessionId),
    position: token,
    keep: fc.boolean(),
  }),
  rank: fc.record({
    type: fc.constant('rank'),
    epoch: u32,
    kind: fc.constantFrom(...rankMessageKinds),
    from: u32,
    to: fc.array(fc.nat({ max: 0xffff }), { maxLength: 8 }),
    reason: text,
    data: tokens(0).map((values) => new Uint8Array(values.buffer)),
  }),
  import: fc.record({
    type: fc.constant('import'),
    ...{ epoch: u32, key: u32, session: id.map(sessionId), gateway: id, first: token, end: token },
    pages: fc.array(token, { maxLength: 5 }),
  }),
  'kv-introduce': fc.record({
    type: fc.constant('kv-introduce'),
    ...epochAndSession,
    ...{ peer: id, ring: id.map(ringId), address: id },
    key: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  }),
  'kv-plan': plan,
  'kv-offer': fc.record({ type: fc.constant('kv-offer'), ...epochAndSession, offer: u32, layers }),
  'kv-have': fc
    .record({ ...epochAndSession, offer: u32, windowBytes: u32, bits: fc.uint8Array({ maxLength: 20 }) })
    .map(({ bits, ...rest }) => ({ type: 'kv-have', ...rest, count: bits.length * 8, bits })),
  'kv-block': fc.record({
    type: fc.constant('kv-block'),
    ...epochAndSession,
    ...address,
    ...{ level, basis: u32, checksum: u32, bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }) },
  }),
  'kv-ack': fc.record({
    type: fc.constant('kv-ack'),
    ...epochAndSession,
    verdicts: fc.array(fc.record({ ...address, level, stored: fc.boolean() }), { maxLength: 5 }),
  }),
  'kv-commit': fc.record({
    type: fc.constant('kv-commit'),
    ...epochAndSession,
    partial: fc.boolean(),
    levels: fc.array(level, { maxLength: 20 }),
  }),
  'kv-committed': fc.record({
    type: fc.constant('kv-committed'),
    ...epochAndSession,
    position: token,
    partial: fc.boolean(),
    coarsest: fc.nat({ max: 255 }),
    bytes: fc.maxSafeNat(),
  }),
  'kv-abort': fc.record({
    type: fc.constant('kv-abort'),
    ...epochAndSession,
    outcome: fc.constantFrom('keep', 'drop'),
    reason: text,
    bytes: fc.maxSafeNat(),
  }),
  'kv-guard': fc.record({
    type: fc.constant('kv-guard'),
    ...epochAndSession,
    rows: fc.array(
      fc.record({
        position: token,
        logSumExp: logit,
        top: fc.array(fc.record({ token, logit }), { maxLength: 64 }),
      }),
      { maxLength: 4 },
    ),
  }),
  fault: fc.record({ type: fc.constant('fault'), epoch: u32, stage: fc.nat({ max: 100 }), reason: text }),
}

export const arbitraryMessage: fc.Arbitrary<Message> = fc.oneof(...Object.values(messageArbitraries))
