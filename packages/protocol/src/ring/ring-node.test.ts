import { defaultSampling, modelId, sessionId, workerId } from '@deos/domain'
import { describe, expect, test } from 'vitest'
import {
  type Message,
  type OpenRequest,
  type OpenSession,
  plainNeeds,
  type RingCapacity,
  type RingMessage,
  type StageTime,
  type StepEntry,
  type ToGateway,
} from '../messages.ts'
import type { RingEffect, RingEvent, StageIdentity } from './ring-events.ts'
import { RingNode } from './ring-node.ts'
import { defaultLeaderOptions, type RingLeaderOptions } from './ring-options.ts'

const capacity: RingCapacity = { kvPages: 8, pageTokens: 4, contextLength: 16, maxBatchTokens: 8 }
const HIDDEN = 2

const identity = (stage: number, stages: number): StageIdentity => ({
  worker: workerId(`w${stage}`),
  model: modelId('m'),
  stage,
  stages,
  layers: { first: stage, end: stage + 1 },
  hiddenSize: HIDDEN,
})

const leaderOptions = (stages: number, overrides: Partial<RingLeaderOptions> = {}): RingLeaderOptions => ({
  ...defaultLeaderOptions,
  stages,
  microbatches: stages,
  vocabSize: 100,
  firstEpoch: 5,
  maxQueued: 2,
  ahead: false,
  ...overrides,
})

const open = (id: string, overrides: Partial<OpenRequest> = {}): OpenRequest => ({
  type: 'open-request',
  session: sessionId(id),
  tokens: Int32Array.of(1, 2, 3),
  resumed: 0,
  maxTokens: 3,
  stopTokens: [99],
  sampling: defaultSampling,
  deadlineMs: 0,
  tenant: 't',
  priority: 0,
  needs: plainNeeds,
  pooling: null,
  trace: null,
  ...overrides,
})

/** A node under a hand-driven clock, with its effects sorted into what goes where. */
class Bench {
  nowMs = 0
  readonly node: RingNode
  effects: readonly RingEffect[] = []

  constructor(stage: number, stages: number, leader: Partial<RingLeaderOptions> = {}) {
    this.node = new RingNode(identity(stage, stages), stage === 0 ? leaderOptions(stages, leader) : null)
  }

  feed(event: RingEvent): readonly RingEffect[] {
    this.effects = this.node.onEvent(event, this.nowMs)
    return this.effects
  }

  tick(afterMs: number): readonly RingEffect[] {
    this.nowMs += afterMs
    return this.feed({ type: 'tick' })
  }

  upstream(message: Message): readonly RingEffect[] {
    return this.feed({ type: 'upstream-message', message })
  }

  gateway(message: Message): readonly ToGateway[] {
    this.feed({ type: 'gateway-message', gateway: 'g', message })
    return this.answers
  }

  get answers(): readonly ToGateway[] {
    return this.effects.flatMap((effect) => (effect.type === 'send-gateway' ? [effect.message] : []))
  }

  get downstream(): readonly RingMessage[] {
    return this.effects.flatMap((effect) => (effect.type === 'send-downstream' ? [effect.message] : []))
  }

  get engine(): readonly string[] {
    return this.effects.flatMap((effect) => (effect.type.startsWith('engine-') ? [effect.type] : []))
  }

  /** Entries of the engine steps asked for by the last event. */
  get steps(): readonly (readonly StepEntry[])[] {
    return this.effects.flatMap((effect) => (effect.type === 'engine-step' ? [effect.work.entries] : []))
  }

  /** The engine answers the step that the last event asked for; samples `tokens` where the head is. */
  stepped(tokens: readonly number[], rows = 0): readonly RingEffect[] {
    const effect = this.effects.find((candidate) => candidate.type === 'engine-step')
    if (effect?.type !== 'engine-step') throw new Error('no step was asked for')
    return this.feed({
      type: 'engine-stepped',
      epoch: effect.epoch,
      step: effect.step,
      result: {
        hidden: new Uint8Array(rows * HIDDEN * 4),
        sampled: tokens.map((token) => ({ token, logprobs: null })),
        pooled: [],
        computeUs: 250,
      },
      waitUs: 30,
      linkUs: 7,
    })
  }
}

/** A ring of one stage, ready, with gateway `g`. */
function alone(leader: Partial<RingLeaderOptions> = {}): Bench {
  const bench = new Bench(0, 1, leader)
  bench.feed({ type: 'engine-ready', capacity })
  bench.feed({ type: 'gateway-connected', gateway: 'g' })
  bench.tick(0)
  return bench
}

describe('a ring of one stage', () => {
  test('is ready after its first probe and says so', () => {
    const bench = new Bench(0, 1)
    bench.feed({ type: 'gateway-connected', gateway: 'g' })
    expect(bench.answers).toMatchObject([{ type: 'status', ready: false }])
    bench.tick(0)
    expect(bench.node.snapshot().leader?.ready).toBe(false)
    bench.feed({ type: 'engine-ready', capacity })
    bench.tick(500)
    expect(bench.answers).toMatchObject([
      { type: 'status', ready: true, epoch: 5, reports: [{ worker: 'w0' }] },
    ])
  })

  test('a session runs from prompt to its last token, and its pages come back', () => {
    const bench = alone()
    bench.gateway(open('a'))
    expect(bench.engine).toEqual(['engine-open', 'engine-step'])
    expect(bench.node.snapshot().leader?.pagesHeld).toBe(1)
    bench.stepped([10])
    expect(bench.answers).toMatchObject([{ type: 'token', session: 'a', index: 0, finish: null }])
    expect(bench.steps).toEqual([[{ key: 1, position: 3, count: 1, sample: true, pages: [] }]])
    bench.stepped([11])
    bench.stepped([12])
    expect(bench.answers).toMatchObject([{ index: 2, sampled: { token: 12 }, finish: 'length' }])
    expect(bench.engine).toEqual(['engine-close'])
    expect(bench.node.snapshot()).toMatchObject({
      sessions: 0,
      pagesHeld: 0,
      leader: { active: 0, pagesHeld: 0 },
    })
  })

  test('a stop token ends the generation', () => {
    const bench = alone()
    bench.gateway(open('a'))
    bench.stepped([99])
    expect(bench.answers).toMatchObject([{ index: 0, finish: 'stop' }])
    expect(bench.engine).toEqual(['engine-close'])
  })

  test('a resumed session continues its count of tokens', () => {
    const bench = alone()
    bench.gateway(open('a', { resumed: 2 }))
    bench.stepped([10])
    expect(bench.answers).toMatchObject([{ index: 2, finish: 'length' }])
  })

  test('a cancelled session is closed behind its step, and its late token goes nowhere', () => {
    const bench = alone()
    bench.gateway(open('a'))
    const asked = bench.effects
    expect(bench.gateway({ type: 'cancel-request', session: sessionId('a') })).toMatchObject([
      { type: 'failed', code: 'cancelled' },
    ])
    expect(bench.engine).toEqual(['engine-close'])
    bench.effects = asked
    bench.stepped([10])
    expect(bench.effects).toEqual([])
    expect(bench.node.snapshot().leader).toMatchObject({
      active: 0,
      stepsInFlight: 0,
      pagesHeld: 0,
      faults: 0,
    })
  })

  test('others cannot cancel what is not theirs', () => {
    const bench = alone()
    bench.gateway(open('a'))
    bench.feed({ type: 'gateway-connected', gateway: 'h' })
    const message = { type: 'cancel-request', session: sessionId('a') } as const
    expect(bench.feed({ type: 'gateway-message', gateway: 'h', message })).toEqual([])
    expect(bench.node.snapshot().leader?.active).toBe(1)
  })

  test('a gateway that leaves takes its sessions along, queued ones too', () => {
    const bench = alone({ maxSessions: 1 })
    bench.gateway(open('a'))
    bench.gateway(open('b'))
    expect(bench.node.snapshot().leader).toMatchObject({ active: 1, queued: 1 })
    bench.feed({ type: 'gateway-lost', gateway: 'g' })
    expect(bench.engine).toEqual(['engine-close'])
    expect(bench.answers).toEqual([])
    expect(bench.node.snapshot().leader).toMatchObject({ active: 0, queued: 0, pagesHeld: 0 })
  })

  test('a full queue rejects with a time to come back; the rest is served in order', () => {
    const bench = alone({ maxSessions: 1 })
    bench.gateway(open('a'))
    const asked = bench.effects
    for (const id of ['b', 'c']) expect(bench.gateway(open(id))).toEqual([])
    const [rejected] = bench.gateway(open('d'))
    expect(rejected).toMatchObject({ type: 'rejected', session: 'd', code: 'queue_full' })
    expect(rejected?.type === 'rejected' && rejected.retryAfterMs).toBeGreaterThan(0)
    bench.gateway({ type: 'cancel-request', session: sessionId('a') })
    bench.effects = asked
    bench.stepped([10])
    expect(bench.effects.flatMap((e) => (e.type === 'engine-open' ? [e.session.key] : []))).toEqual([2])
  })

  test('a session id in use and a draining ring are refused', () => {
    const bench = alone()
    bench.gateway(open('a'))
    expect(bench.gateway(open('a'))).toMatchObject([{ type: 'rejected', code: 'invalid' }])
    bench.feed({ type: 'drain' })
    expect(bench.effects).toEqual([])
    expect(bench.gateway(open('b'))).toMatchObject([{ type: 'rejected', code: 'draining' }])
    bench.gateway({ type: 'cancel-request', session: sessionId('a') })
    expect(bench.effects.some((effect) => effect.type === 'drained')).toBe(true)
  })

  test('deadlines hold for running and for queued sessions', () => {
    const bench = alone({ maxSessions: 1 })
    bench.gateway(open('a', { deadlineMs: 100 }))
    bench.gateway(open('b', { deadlineMs: 100 }))
    bench.tick(99)
    expect(bench.answers).toEqual([])
    bench.tick(1)
    expect(bench.answers).toMatchObject([
      { type: 'failed', session: 'a', code: 'deadline' },
      { type: 'failed', session: 'b', code: 'deadline' },
    ])
    expect(bench.node.snapshot().leader).toMatchObject({ active: 0, queued: 0, pagesHeld: 0 })
  })

  test('a lost engine fails running sessions, keeps queued ones, and the next epoch serves them', () => {
    const bench = alone({ maxSessions: 1 })
    bench.gateway(open('a'))
    bench.gateway(open('b'))
    bench.feed({ type: 'engine-lost', reason: 'killed' })
    expect(bench.answers).toMatchObject([
      { type: 'failed', session: 'a', code: 'ring_fault' },
      { type: 'status', ready: false, epoch: 6, queued: 1 },
    ])
    bench.feed({ type: 'engine-ready', capacity })
    bench.tick(1_000)
    expect(bench.engine).toEqual(['engine-open', 'engine-step'])
    expect(bench.node.snapshot()).toMatchObject({ epoch: 6, leader: { ready: true, active: 1, queued: 0 } })
  })

  test('a failed step resets the engine before the next epoch begins', () => {
    const bench = alone()
    bench.gateway(open('a'))
    bench.nowMs += 1_000
    bench.feed({ type: 'engine-failed', epoch: 5, step: 1, reason: 'broken' })
    expect(bench.engine).toEqual(['engine-reset'])
    expect(bench.node.snapshot().leader?.ready).toBe(false)
    bench.feed({ type: 'engine-reset-done' })
    expect(bench.node.snapshot().leader?.ready).toBe(true)
    bench.feed({ type: 'engine-failed', epoch: 5, step: 1, reason: 'old news' })
    expect(bench.effects).toEqual([])
  })

  test('a hanging engine is noticed by the step timeout', () => {
    const bench = alone()
    bench.gateway(open('a'))
    bench.tick(defaultLeaderOptions.stepTimeoutMs + 1)
    expect(bench.answers).toMatchObject([
      { type: 'failed', code: 'ring_fault' },
      { type: 'status', ready: false },
    ])
  })

  test('requests for a ring that stays away are handed back', () => {
    const bench = alone({ maxSessions: 1 })
    bench.gateway(open('a'))
    bench.gateway(open('b'))
    bench.feed({ type: 'engine-lost', reason: 'killed' })
    bench.tick(defaultLeaderOptions.readyPatienceMs + 1)
    expect(bench.answers).toContainEqual(
      expect.objectContaining({ type: 'rejected', session: 'b', code: 'not_ready' }),
    )
    expect(bench.gateway(open('c'))).toMatchObject([{ type: 'rejected', code: 'not_ready' }])
  })

  test('a ring that comes back smaller hands back what no longer fits', () => {
    const bench = alone({ maxSessions: 1 })
    bench.gateway(open('a'))
    bench.gateway(open('b', { tokens: new Int32Array(10) }))
    bench.feed({ type: 'engine-lost', reason: 'killed' })
    bench.feed({ type: 'engine-ready', capacity: { ...capacity, contextLength: 8 } })
    bench.tick(1_000)
    expect(bench.answers).toContainEqual(expect.objectContaining({ session: 'b', code: 'prompt_too_long' }))
  })

  test('a gateway that speaks the language of stages is cut off', () => {
    const bench = alone()
    bench.gateway({ type: 'close', epoch: 5, key: 1 })
    expect(bench.effects).toMatchObject([{ type: 'close-gateway', gateway: 'g' }])
  })
})

describe('the first of two stages', () => {
  const probe = (bench: Bench): RingMessage => {
    const [message] = bench.downstream.filter((candidate) => candidate.type === 'probe')
    if (message?.type !== 'probe') throw new Error('no probe')
    const report = { ...message.reports[0]!, worker: workerId('w1'), stage: 1, layers: [1, 2] as const }
    return { ...message, reports: [...message.reports, report] }
  }
  const first = (): Bench => {
    const bench = new Bench(0, 2)
    bench.feed({ type: 'engine-ready', capacity })
    bench.feed({ type: 'gateway-connected', gateway: 'g' })
    bench.tick(0)
    bench.upstream(probe(bench))
    expect(bench.node.snapshot().leader?.ready).toBe(true)
    return bench
  }

  test('passes hidden states on and decodes on from the answer', () => {
    const bench = first()
    bench.gateway(open('a'))
    expect(bench.downstream).toMatchObject([{ type: 'open', key: 1, maxTokens: 3, gateway: 'g' }])
    bench.stepped([], 3)
    expect(bench.downstream).toMatchObject([{ type: 'step', step: 1, entries: [{ count: 3, sample: true }] }])
    bench.upstream({
      type: 'step-done',
      epoch: 5,
      step: 1,
      results: [{ key: 1, token: 42, finish: null }],
      engineUs: 1,
    })
    expect(bench.steps).toEqual([[{ key: 1, position: 3, count: 1, sample: true, pages: [] }]])
  })

  test('a close stays behind the step that it follows', () => {
    const bench = first()
    bench.gateway(open('a'))
    const asked = bench.effects
    bench.gateway({ type: 'cancel-request', session: sessionId('a') })
    expect(bench.downstream).toEqual([])
    bench.effects = asked
    bench.stepped([], 3)
    expect(bench.downstream.map((message) => message.type)).toEqual(['step', 'close'])
  })

  test.each<[string, RingMessage | { readonly type: 'token' }]>([
    ['an answer to no step', { type: 'step-done', epoch: 5, step: 9, results: [], engineUs: 1 }],
    ['an answer without its results', { type: 'step-done', epoch: 5, step: 1, results: [], engineUs: 1 }],
    ['a message for stages', { type: 'close', epoch: 5, key: 1 }],
    ['a message for gateways', { type: 'token' }],
    ['a fault', { type: 'fault', epoch: 5, stage: 1, reason: 'engine' }],
    ['a stage ahead of it', { type: 'fault', epoch: 50, stage: 1, reason: 'ahead' }],
  ])('%s begins a new epoch', (_, message) => {
    const bench = first()
    bench.gateway(open('a'))
    bench.upstream(message as Message)
    expect(bench.answers).toMatchObject([
      { type: 'failed', code: 'ring_fault' },
      { type: 'status', ready: false },
    ])
    expect(bench.node.snapshot().leader?.epoch).toBe('epoch' in message && message.epoch === 50 ? 51 : 6)
  })

  test('news of an older epoch is no news', () => {
    const bench = first()
    bench.gateway(open('a'))
    bench.upstream({ type: 'fault', epoch: 4, stage: 1, reason: 'old' })
    bench.upstream({ type: 'step-done', epoch: 4, step: 1, results: [], engineUs: 1 })
    expect(bench.node.snapshot().leader).toMatchObject({ ready: true, active: 1, faults: 0 })
  })

  test.each<RingEvent>([
    { type: 'upstream-lost', reason: 'reset' },
    { type: 'downstream-lost', reason: 'reset' },
  ])('$type begins a new epoch', (event) => {
    const bench = first()
    bench.feed(event)
    expect(bench.node.snapshot().leader).toMatchObject({ ready: false, epoch: 6 })
  })

  test('an unanswered probe begins a new epoch, once', () => {
    const bench = first()
    bench.tick(500)
    bench.tick(defaultLeaderOptions.probeTimeoutMs + 1)
    expect(bench.node.snapshot().leader).toMatchObject({ ready: false, epoch: 6, faults: 1 })
    for (let i = 0; i < 20; i++) bench.tick(1_000)
    expect(bench.node.snapshot().leader).toMatchObject({ ready: false, epoch: 6, faults: 1 })
  })

  test.each([
    ['the wrong stage', { stage: 0 }],
    ['a gap between layers', { layers: [2, 3] as const }],
    ['another model', { model: modelId('other') }],
  ])('a probe that passed %s does not make the ring ready', (_, wrong) => {
    const bench = new Bench(0, 2)
    bench.feed({ type: 'engine-ready', capacity })
    bench.tick(0)
    const returned = probe(bench)
    if (returned.type !== 'probe') throw new Error('no probe')
    bench.upstream({ ...returned, reports: [returned.reports[0]!, { ...returned.reports[1]!, ...wrong }] })
    expect(bench.node.snapshot().leader?.ready).toBe(false)
    expect(bench.effects).toMatchObject([{ type: 'note', level: 'warn' }])
  })
})

describe('the last of two stages', () => {
  const opening: RingMessage = {
    ...{ epoch: 5, key: 1, gateway: 'g', cachedTokens: 0, pages: [] },
    ...open('a'),
    type: 'open',
  }
  const stepOf = (entries: readonly StepEntry[], rows: number, step = 1): RingMessage => ({
    type: 'step',
    epoch: 5,
    step,
    entries,
    times: [earlier],
    hidden: new Uint8Array(rows * HIDDEN * 4),
  })
  const earlier = { waitUs: 20, computeUs: 1000, linkUs: 5 }
  const own = { waitUs: 30, computeUs: 250, linkUs: 7 }
  const prompt = { key: 1, position: 0, count: 3, sample: true, pages: [0] }
  const last = (): Bench => {
    const bench = new Bench(1, 2)
    bench.feed({ type: 'engine-ready', capacity })
    bench.upstream(opening)
    return bench
  }

  test('a token tells what all steps since the one before took at each stage', () => {
    const bench = last()
    bench.upstream(stepOf([{ ...prompt, count: 2, sample: false }], 2, 1))
    bench.stepped([])
    bench.upstream(stepOf([{ ...prompt, position: 2, count: 1, pages: [] }], 1, 2))
    bench.stepped([10])
    const twice = ({ waitUs, computeUs, linkUs }: StageTime): StageTime => ({
      ...{ waitUs: 2 * waitUs, computeUs: 2 * computeUs, linkUs: 2 * linkUs },
    })
    expect(bench.answers).toMatchObject([{ type: 'token', index: 0, times: [twice(earlier), twice(own)] }])
    bench.upstream(stepOf([{ ...prompt, position: 3, count: 1, pages: [] }], 1, 3))
    bench.stepped([11])
    expect(bench.answers).toMatchObject([{ type: 'token', index: 1, times: [earlier, own] }])
  })

  test('delivers tokens to the gateway and results to the leader', () => {
    const bench = last()
    bench.upstream(stepOf([prompt], 3))
    bench.stepped([10])
    expect(bench.effects).toMatchObject([
      { type: 'send-gateway', gateway: 'g', message: { type: 'token', index: 0, times: [earlier, own] } },
      {
        type: 'send-downstream',
        message: { type: 'step-done', results: [{ key: 1, token: 10, finish: null }], engineUs: 1250 },
      },
    ])
  })

  test.each<[string, RingMessage]>([
    ['an unknown session', stepOf([{ ...prompt, key: 2 }], 3)],
    ['a position without a page', stepOf([{ ...prompt, pages: [] }], 3)],
    ['a page that does not exist', stepOf([{ ...prompt, pages: [8] }], 3)],
    ['a page given twice', stepOf([{ ...prompt, pages: [3, 3] }], 3)],
    ['a gap in positions', stepOf([{ ...prompt, position: 1 }], 3)],
    ['hidden states of another size', stepOf([prompt], 2)],
    ['coded hidden states that are no fewer bytes', { ...stepOf([prompt], 3), coded: true } as RingMessage],
    ['a batch beyond the engine', stepOf([{ ...prompt, count: 9 }], 9)],
    ['a session opened twice', opening],
    ['closing what is not open', { type: 'close', epoch: 5, key: 7 }],
    ['an answer to a step', { type: 'step-done', epoch: 5, step: 1, results: [], engineUs: 1 }],
  ])('%s is a fault, told to the leader once', (_, message) => {
    const bench = last()
    bench.upstream(message)
    expect(bench.downstream).toMatchObject([{ type: 'fault', epoch: 5, stage: 1 }])
    bench.upstream(message)
    expect(bench.effects).toEqual([])
    expect(bench.node.snapshot()).toMatchObject({ sessions: 0, pagesHeld: 0 })
  })

  test('more positions than the context or more pages than there are is a fault', () => {
    const bench = last()
    for (let step = 1; step <= 2; step++) {
      bench.upstream(
        stepOf(
          [{ key: 1, position: (step - 1) * 8, count: 8, sample: false, pages: [2 * step, 2 * step + 1] }],
          8,
          step,
        ),
      )
      expect(bench.engine).toEqual(['engine-step'])
    }
    bench.upstream(stepOf([{ key: 1, position: 16, count: 1, sample: false, pages: [7] }], 1, 3))
    expect(bench.downstream).toMatchObject([{ type: 'fault', reason: expect.stringContaining('17 of 16') }])
  })

  const sharing = (key: number, pages: readonly number[]): RingMessage => ({
    ...(opening as OpenSession),
    ...{ key, tokens: Int32Array.of(1, 2, 3, 4, 5), cachedTokens: pages.length * 4, pages },
  })

  test('sessions may begin with the same pages, which are free when the last one closes', () => {
    const bench = last()
    bench.upstream(sharing(2, [6]))
    bench.upstream(sharing(3, [6]))
    expect(bench.node.snapshot()).toMatchObject({ sessions: 3, pagesHeld: 1 })
    bench.upstream(stepOf([{ key: 2, position: 4, count: 1, sample: true, pages: [5] }], 1))
    expect(bench.engine).toEqual(['engine-step'])
    bench.upstream({ type: 'close', epoch: 5, key: 2 })
    expect(bench.node.snapshot().pagesHeld).toBe(1)
    bench.upstream(stepOf([{ key: 3, position: 4, count: 1, sample: true, pages: [6] }], 1, 2))
    expect(bench.downstream).toMatchObject([{ type: 'fault', reason: expect.stringContaining('page 6') }])
  })

  test('needs are prepared by the engine beside its steps, and the answer travels on', () => {
    const bench = last()
    const needs = { adapter: null, grammar: '{"type":"json"}' }
    const prepare = { type: 'prepare', epoch: 5, request: 7, needs, maxTokens: 9, problem: null } as const
    bench.upstream(prepare)
    expect(bench.engine).toEqual(['engine-prepare'])
    expect(bench.downstream).toEqual([])
    bench.feed({ type: 'engine-prepared', epoch: 5, request: 7, problem: 'too deep' })
    expect(bench.downstream).toEqual([{ ...prepare, problem: 'too deep' }])
    bench.feed({ type: 'engine-prepared', epoch: 5, request: 7, problem: null })
    expect(bench.downstream).toEqual([])
    bench.upstream({ ...prepare, problem: 'an earlier stage cannot' })
    expect(bench.downstream).toMatchObject([{ problem: 'an earlier stage cannot' }])
  })

  test('a pooled vector goes to the gateway and ends the session', () => {
    const bench = new Bench(1, 2)
    bench.feed({ type: 'engine-ready', capacity })
    bench.upstream({ ...(opening as OpenSession), pooling: 'mean' })
    bench.upstream(stepOf([prompt], 3))
    const vector = new Uint8Array(Float32Array.of(1, 2).buffer)
    const result = { hidden: new Uint8Array(0), sampled: [], pooled: [vector], computeUs: 1 }
    bench.feed({ type: 'engine-stepped', epoch: 5, step: 1, result, waitUs: 0, linkUs: 0 })
    expect(bench.answers).toEqual([{ type: 'embedding', session: 'a', vector }])
    expect(bench.downstream).toMatchObject([{ results: [{ key: 1, token: -1, finish: 'stop' }] }])
  })

  test('a probe of a faulted epoch is answered by the fault, in case that was lost', () => {
    const bench = last()
    bench.feed({ type: 'upstream-lost', reason: 'reset' })
    expect(bench.downstream).toMatchObject([{ type: 'fault', epoch: 5 }])
    bench.upstream({ type: 'probe', epoch: 5, sequence: 1, reports: [] })
    expect(bench.downstream).toMatchObject([{ type: 'fault', epoch: 5 }])
  })

  test('a newer epoch resets the engine first; messages wait and keep their order', () => {
    const bench = last()
    bench.upstream({ type: 'probe', epoch: 6, sequence: 1, reports: [] })
    expect(bench.engine).toEqual(['engine-reset'])
    expect(bench.downstream).toEqual([])
    bench.upstream({ ...opening, epoch: 6 })
    bench.upstream({ ...stepOf([prompt], 3), epoch: 6 } as RingMessage)
    expect(bench.effects).toEqual([])
    bench.feed({ type: 'engine-reset-done' })
    expect(bench.effects.map((effect) => effect.type)).toEqual([
      'send-downstream',
      'engine-open',
      'engine-step',
    ])
  })

  test('results of the epoch before go nowhere', () => {
    const bench = last()
    bench.upstream(stepOf([prompt], 3))
    const asked = bench.effects
    bench.upstream({ type: 'probe', epoch: 6, sequence: 1, reports: [] })
    bench.effects = asked
    bench.stepped([10])
    expect(bench.effects).toEqual([])
  })

  test('an older epoch is ignored, but a leader that probes with it is told', () => {
    const bench = last()
    bench.upstream({ type: 'close', epoch: 4, key: 1 })
    expect(bench.effects).toEqual([])
    bench.upstream({ type: 'probe', epoch: 4, sequence: 1, reports: [] })
    expect(bench.downstream).toMatchObject([{ type: 'fault', epoch: 5 }])
    expect(bench.node.snapshot().sessions).toBe(1)
  })

  test('an engine that answers with too little is a fault', () => {
    const bench = last()
    bench.upstream(stepOf([prompt], 3))
    bench.stepped([])
    expect(bench.downstream).toMatchObject([{ type: 'fault', reason: expect.stringContaining('0 tokens') }])
  })

  test('an endless reason is cut before it travels', () => {
    const bench = last()
    bench.feed({ type: 'engine-lost', reason: 'x'.repeat(1e5) })
    const [fault] = bench.downstream
    expect(fault?.type === 'fault' && fault.reason.length).toBeLessThan(1_000)
  })

  test('a stage without an engine lets no probe pass', () => {
    const bench = new Bench(1, 2)
    bench.upstream({ type: 'probe', epoch: 5, sequence: 1, reports: [] })
    expect(bench.effects).toEqual([])
    bench.upstream(opening)
    expect(bench.downstream).toMatchObject([{ type: 'fault' }])
  })
})

test.each<[string, () => RingNode]>([
  ['a stage outside the ring', () => new RingNode(identity(2, 2), null)],
  ['stage 0 without leader options', () => new RingNode(identity(0, 2), null)],
  ['a later stage with leader options', () => new RingNode(identity(1, 2), leaderOptions(2))],
  ['leader options of another ring', () => new RingNode(identity(0, 2), leaderOptions(3))],
  ['no microbatch', () => new RingNode(identity(0, 1), leaderOptions(1, { microbatches: 0 }))],
  ['no layer', () => new RingNode({ ...identity(1, 2), layers: { first: 3, end: 3 } }, null)],
])('%s is refused', (_, make) => {
  expect(make).toThrow(RangeError)
})
