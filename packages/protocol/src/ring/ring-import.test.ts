import { balanceLayers, defaultSampling, type LayerRange, modelId, sessionId, workerId } from '@deos/domain'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type GatewayToLeader, plainNeeds, type RingCapacity, type ToGateway } from '../messages.ts'
import type { StageEngine } from '../stage-engine.ts'
import { fakeGeneration } from '../testing/fake-model.ts'
import { FakeStageEngine } from '../testing/fake-stage-engine.ts'
import type { ImportEffect, RingEffect, RingEvent } from './ring-events.ts'
import { RingNode } from './ring-node.ts'
import { defaultLeaderOptions, type RingLeaderOptions } from './ring-options.ts'

const model = { layers: 6, hiddenSize: 3, vocabSize: 97 }
const capacity: RingCapacity = { kvPages: 24, pageTokens: 4, contextLength: 64, maxBatchTokens: 16 }
const sampling = { ...defaultSampling, seed: '11' }
const GATEWAY = 'g'

interface Machine {
  readonly node: RingNode
  readonly engine: FakeStageEngine
  readonly layers: LayerRange
  /** Pages by session, as engine and imports were told. */
  readonly sessionPages: Map<string, number[]>
  readonly closed: Set<string>
  readonly imports: (ImportEffect & { readonly type: 'import-opened' })[]
  steps: number
}

/** A ring whose links take no time, over fake engines. */
class Ring {
  readonly machines: readonly Machine[]
  readonly answers: ToGateway[] = []
  nowMs = 0

  constructor(speeds: readonly number[], leader: Partial<RingLeaderOptions> = {}, room = capacity) {
    const stages = speeds.length
    const cuts = balanceLayers({ layers: new Array<number>(model.layers).fill(1), head: 0 }, speeds)
    this.machines = cuts.map((layers, stage) => {
      const { hiddenSize } = model
      const identity = {
        worker: workerId(`w${stage}`),
        model: modelId('m'),
        stage,
        stages,
        layers,
        hiddenSize,
      }
      const options = { ...defaultLeaderOptions, stages, microbatches: stages, vocabSize: 97, firstEpoch: 1 }
      const node = new RingNode(identity, stage === 0 ? { ...options, ...leader } : null)
      const engine = new FakeStageEngine({ model, layers, capacity: room })
      return { node, engine, layers, sessionPages: new Map(), imports: [], closed: new Set(), steps: 0 }
    })
    for (const machine of this.machines) this.feed(machine, { type: 'engine-ready', capacity: room })
    this.feed(this.machines[0]!, { type: 'gateway-connected', gateway: GATEWAY })
    this.tick(600)
  }

  tick(afterMs: number): void {
    this.nowMs += afterMs
    this.feed(this.machines[0]!, { type: 'tick' })
  }

  ask(message: GatewayToLeader): void {
    this.feed(this.machines[0]!, { type: 'gateway-message', gateway: GATEWAY, message })
  }

  feed(machine: Machine, event: RingEvent): void {
    for (const effect of machine.node.onEvent(event, this.nowMs)) this.#perform(machine, effect)
  }

  #perform(machine: Machine, effect: RingEffect): void {
    const engine: StageEngine = machine.engine
    switch (effect.type) {
      case 'send-downstream': {
        const next = this.machines[(this.machines.indexOf(machine) + 1) % this.machines.length]!
        this.feed(next, { type: 'upstream-message', message: effect.message })
        break
      }
      case 'send-gateway':
        this.answers.push(effect.message)
        break
      case 'engine-open':
        machine.sessionPages.set(`${effect.session.key}`, [...effect.session.pages])
        engine.open(effect.session)
        break
      case 'engine-close':
        engine.close(effect.key)
        break
      case 'engine-step': {
        const { epoch, step, work } = effect
        machine.steps += work.entries.reduce((sum, entry) => sum + entry.count, 0)
        for (const { key, pages } of work.entries) machine.sessionPages.get(`${key}`)?.push(...pages)
        engine.step(work).then(
          (result) =>
            this.feed(machine, { type: 'engine-stepped', epoch, step, result, waitUs: 0, linkUs: 0 }),
          (error: unknown) =>
            this.feed(machine, { type: 'engine-failed', epoch, step, reason: String(error) }),
        )
        break
      }
      case 'engine-reset':
        engine.reset().then(() => this.feed(machine, { type: 'engine-reset-done' }))
        break
      case 'import-opened':
        machine.imports.push(effect)
        break
      case 'import-closed':
        machine.closed.add(effect.session)
    }
  }

  /** Until nothing moves any more. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 400; turn++) await Promise.resolve()
  }

  get tokens(): readonly number[] {
    return this.answers.flatMap((answer) => (answer.type === 'token' ? [answer.sampled.token] : []))
  }

  get cachedTokens(): number | undefined {
    return this.answers.find((answer) => answer.type === 'token')?.cachedTokens
  }

  failures(): readonly string[] {
    return this.answers.flatMap((answer) =>
      answer.type === 'failed' || answer.type === 'rejected' ? [`${answer.session} ${answer.code}`] : [],
    )
  }
}

const prompt = Int32Array.from({ length: 30 }, (_, at) => (at * 37 + 5) % 97)

const open = (id: string, tokens: Int32Array, maxTokens = 8): GatewayToLeader => ({
  type: 'open-request',
  session: sessionId(id),
  tokens,
  ...{ resumed: 0, maxTokens, stopTokens: [], sampling, deadlineMs: 0, tenant: 't', priority: 0 },
  ...{ needs: plainNeeds, pooling: null, trace: null },
})

const importOf = (id: string, tokens: Int32Array, deadlineMs = 0): GatewayToLeader => ({
  type: 'import-request',
  session: sessionId(id),
  ...{ tokens, tenant: 't', adapter: null, deadlineMs },
})

const commit = (id: string, position: number, keep = false): GatewayToLeader => ({
  type: 'import-commit',
  session: sessionId(id),
  position,
  keep,
})

/** Copies positions of every layer from wherever the one ring has it to wherever the other wants it. */
async function transfer(from: Ring, to: Ring, first: number, end: number, id = 'i'): Promise<void> {
  for (let layer = 0; layer < model.layers; layer++) {
    const holds = ({ layers }: Machine) => layer >= layers.first && layer < layers.end
    const source = from.machines.find(holds)!
    const target = to.machines.find(holds)!
    const pages = source.sessionPages.get('1')!
    const blocks = (['key', 'value'] as const).map((part) => ({ layer, part, encoding: 'stored' as const }))
    const data = await Promise.all(
      blocks.map((block) => source.engine.readKv({ ...block, pages, positions: { first, end } })),
    )
    const imported = target.imports.findLast(({ session }) => session === id)!
    const positions = { first: first - imported.first, end: end - imported.first }
    for (const [index, block] of blocks.entries()) {
      // Its pages may be somebody else's by now.
      if (target.closed.has(id)) return
      await target.engine.writeKv({ ...block, pages: imported.pages, positions, data: data[index]! })
    }
  }
}

describe('a prompt alone', () => {
  test.each([[[1]], [[1, 2]]])(
    'is computed and kept until it is cancelled (layers cut by %j)',
    async (cut) => {
      const ring = new Ring(cut)
      ring.ask(open('p', prompt, 0))
      await ring.settle()
      expect(ring.tokens).toEqual([])
      expect(ring.failures()).toEqual([])
      const held = () => ring.machines.map(({ node }) => node.snapshot().pagesHeld)
      expect(held()).toEqual(cut.map(() => 8))
      // Others go on beside it, and find its pages.
      ring.ask(open('q', prompt))
      await ring.settle()
      expect(ring.tokens).toEqual(fakeGeneration(model, prompt, sampling, 8, []))
      ring.ask({ type: 'cancel-request', session: sessionId('p') })
      await ring.settle()
      expect(held()).toEqual(cut.map(() => 0))
      expect(ring.failures()).toEqual(['p cancelled'])
    },
  )

  test('fills an import of a ring that is cut elsewhere', async () => {
    const [prefill, decode] = [new Ring([2, 1]), new Ring([1, 2])]
    prefill.ask(open('p', prompt.slice(0, 28), 0))
    decode.ask(importOf('i', prompt))
    await prefill.settle()
    await decode.settle()
    await transfer(prefill, decode, 0, 28)
    decode.ask(commit('i', 28))
    decode.ask(open('d', prompt))
    await decode.settle()
    expect(decode.tokens).toEqual(fakeGeneration(model, prompt, sampling, 8, []))
    expect(decode.cachedTokens).toBe(28)
  })
})

describe('a session that begins with imported pages', () => {
  test.each([
    [[1, 1, 1], [1]],
    [[1], [1, 2]],
    [
      [3, 1],
      [1, 1, 1, 1],
    ],
  ])('continues as if everything had been computed there (layers cut by %j and by %j)', async (p, d) => {
    const prefill = new Ring(p)
    const decode = new Ring(d)
    prefill.ask(open('p', prompt, 1))
    decode.ask(importOf('i', prompt))
    await prefill.settle()
    await decode.settle()
    expect(decode.answers.at(-1)).toEqual({ type: 'import-ready', session: 'i', cachedTokens: 0, end: 28 })
    expect(decode.machines.map(({ node }) => node.snapshot().pagesHeld)).toEqual(d.map(() => 7))
    await transfer(prefill, decode, 0, 28)
    decode.ask(commit('i', 28))
    decode.ask(open('d', prompt))
    await decode.settle()
    expect(decode.tokens).toEqual(fakeGeneration(model, prompt, sampling, 8, []))
    expect(decode.cachedTokens).toBe(28)
    // Two prompt tokens and seven that were generated.
    expect(decode.machines.map(({ steps }) => steps)).toEqual(d.map(() => 9))
    expect(decode.machines.map(({ node }) => node.snapshot().pagesHeld)).toEqual(d.map(() => 0))
    expect(decode.failures()).toEqual([])
  })

  test('computes the tail of a transfer that did not get to its end', async () => {
    const [prefill, decode] = [new Ring([1]), new Ring([1, 1])]
    prefill.ask(open('p', prompt, 1))
    decode.ask(importOf('i', prompt))
    await prefill.settle()
    await transfer(prefill, decode, 0, 15)
    decode.ask(commit('i', 15))
    decode.ask(open('d', prompt))
    await decode.settle()
    expect(decode.tokens).toEqual(fakeGeneration(model, prompt, sampling, 8, []))
    expect(decode.cachedTokens).toBe(12)
  })

  test('is offered only what is not cached already', async () => {
    const decode = new Ring([1, 1])
    decode.ask(open('a', prompt.slice(0, 13), 2))
    await decode.settle()
    decode.ask(importOf('i', prompt))
    await decode.settle()
    expect(decode.answers.at(-1)).toMatchObject({ type: 'import-ready', cachedTokens: 12, end: 28 })
    expect(decode.machines[1]!.imports.at(-1)).toMatchObject({ first: 12, end: 28 })
  })
})

describe('an import', () => {
  test('leaves nothing behind when it is cancelled, late, or its gateway is gone', async () => {
    for (const end of ['cancel', 'deadline', 'gateway'] as const) {
      const ring = new Ring([1, 1])
      ring.ask(importOf('i', prompt, 1_000))
      await ring.settle()
      if (end === 'cancel') ring.ask({ type: 'cancel-request', session: sessionId('i') })
      else if (end === 'deadline') ring.tick(1_500)
      else ring.feed(ring.machines[0]!, { type: 'gateway-lost', gateway: GATEWAY })
      await ring.settle()
      const snapshot = ring.machines[0]!.node.snapshot()
      expect(snapshot).toMatchObject({ pagesHeld: 0, leader: { pagesHeld: 0, pagesCached: 0 } })
      expect(ring.failures()).toEqual(end === 'deadline' ? ['i deadline'] : [])
    }
  })

  test('makes room for sessions that need its pages, and says so', async () => {
    const ring = new Ring([1], { ahead: false }, { ...capacity, kvPages: 8 })
    ring.ask(importOf('i', prompt))
    await ring.settle()
    ring.ask(open('d', prompt.slice(0, 9)))
    await ring.settle()
    expect(ring.failures()).toEqual(['i cancelled'])
    expect(ring.tokens).toHaveLength(8)
  })

  test('ends with the ring, and a late commit is told so', async () => {
    const ring = new Ring([1, 1])
    ring.ask(importOf('i', prompt))
    await ring.settle()
    ring.feed(ring.machines[0]!, { type: 'upstream-lost', reason: 'cut' })
    await ring.settle()
    expect(ring.failures()).toEqual(['i ring_fault'])
    ring.ask(commit('i', 28))
    expect(ring.failures()).toEqual(['i ring_fault', 'i ring_fault'])
    expect(ring.machines.map(({ node }) => node.snapshot().pagesHeld)).toEqual([0, 0])
  })

  test('is refused where it cannot work', async () => {
    const cases: readonly [string, Partial<RingLeaderOptions>, GatewayToLeader][] = [
      ['i invalid', { prefixCache: false }, importOf('i', prompt)],
      ['i invalid', {}, importOf('i', Int32Array.of(1))],
      ['i invalid', {}, importOf('i', Int32Array.of(1, 97))],
      ['i prompt_too_long', {}, importOf('i', new Int32Array(65))],
    ]
    for (const [expected, options, message] of cases) {
      const ring = new Ring([1], options)
      ring.ask(message)
      expect(ring.failures()).toEqual([expected])
    }
    const small = new Ring([1], {}, { ...capacity, kvPages: 8 })
    small.ask(importOf('i', prompt))
    small.ask(importOf('i', prompt))
    small.ask(
      importOf(
        'j',
        prompt.map((token) => (token + 1) % 97),
      ),
    )
    expect(small.failures()).toEqual(['i invalid', 'j queue_full'])
  })
})

describe('an import whose pages are kept', () => {
  const cancel = (id: string): GatewayToLeader => ({ type: 'cancel-request', session: sessionId(id) })

  test('is found by sessions at once, and may be written until it is cancelled', async () => {
    const [prefill, decode] = [new Ring([1]), new Ring([1, 1])]
    prefill.ask(open('p', prompt, 1))
    decode.ask(importOf('i', prompt))
    await prefill.settle()
    await decode.settle()
    await transfer(prefill, decode, 0, 28)
    decode.ask(commit('i', 28, true))
    decode.ask(open('d', prompt, 20))
    await decode.settle()
    expect(decode.cachedTokens).toBe(28)
    expect(decode.tokens).toEqual(fakeGeneration(model, prompt, sampling, 20, []))
    const held = () => decode.machines.map(({ node }) => node.snapshot().pagesHeld)
    expect(held()).toEqual([7, 7])
    expect(decode.machines.map(({ closed }) => closed.size)).toEqual([0, 0])
    decode.ask(cancel('i'))
    await decode.settle()
    expect(held()).toEqual([0, 0])
    // They stay in the cache.
    decode.ask(open('e', prompt))
    await decode.settle()
    expect(decode.answers.filter((answer) => answer.type === 'token').at(-1)).toMatchObject({
      cachedTokens: 28,
    })
    expect(decode.failures()).toEqual([])
  })

  test('makes room for whoever needs a page, without a word', async () => {
    const ring = new Ring([1], { ahead: false }, { ...capacity, kvPages: 8 })
    ring.ask(importOf('i', prompt))
    await ring.settle()
    ring.ask(commit('i', 28, true))
    ring.ask(
      open(
        'd',
        prompt.map((token) => (token + 1) % 97),
        2,
      ),
    )
    await ring.settle()
    expect(ring.tokens).toHaveLength(2)
    expect(ring.machines[0]!.closed.has('i')).toBe(true)
    ring.ask(cancel('i'))
    await ring.settle()
    expect(ring.failures()).toEqual([])
    expect(ring.machines[0]!.node.snapshot()).toMatchObject({ pagesHeld: 0 })
  })

  test('makes room for the next import', async () => {
    const ring = new Ring([1], {}, { ...capacity, kvPages: 8 })
    ring.ask(importOf('i', prompt))
    await ring.settle()
    ring.ask(commit('i', 28, true))
    const other = prompt.map((token) => (token + 1) % 97)
    ring.ask(importOf('j', other))
    await ring.settle()
    expect(ring.answers.at(-1)).toMatchObject({ type: 'import-ready', session: 'j' })
    expect(ring.failures()).toEqual([])
  })

  test('stays while its session has the pages anyway and others fit', async () => {
    const ring = new Ring([1], {}, { ...capacity, kvPages: 10 })
    ring.ask(importOf('i', prompt))
    await ring.settle()
    ring.ask(commit('i', 28, true))
    ring.ask(open('d', prompt, 3))
    ring.ask(open('e', Int32Array.of(5, 6), 2))
    await ring.settle()
    expect(ring.machines[0]!.closed.size).toBe(0)
    expect(ring.failures()).toEqual([])
  })
})

describe('a prompt that nobody waits for', () => {
  const spare = (id: string): GatewayToLeader => ({ type: 'spare-request', session: sessionId(id) })
  const other = prompt.map((token) => (token + 1) % 97)

  test.each<[string, Partial<RingLeaderOptions>, number]>([
    ['a page', {}, 8],
    ['a place', { maxSessions: 1 }, 24],
  ])('stays until %s is wanted', async (_, options, kvPages) => {
    const ring = new Ring([1, 1], options, { ...capacity, kvPages })
    ring.ask(open('p', prompt, 0))
    await ring.settle()
    ring.ask(open('d', other, 2))
    await ring.settle()
    expect(ring.tokens).toEqual([])
    ring.ask(spare('p'))
    await ring.settle()
    expect(ring.tokens).toEqual(fakeGeneration(model, other, sampling, 2, []))
    expect(ring.failures()).toEqual(['p cancelled'])
    expect(ring.machines.map(({ node }) => node.snapshot().pagesHeld)).toEqual([0, 0])
  })

  test('does not stand in the way of requests that would find the ring full', async () => {
    const ring = new Ring([1], { maxSessions: 1, maxQueued: 0 })
    ring.ask(open('p', prompt, 0))
    await ring.settle()
    ring.ask(spare('p'))
    ring.ask(open('d', other, 2))
    await ring.settle()
    expect(ring.tokens).toHaveLength(2)
    expect(ring.failures()).toEqual(['p cancelled'])
  })

  test('is another one than one that generates, or is still computed', async () => {
    const ring = new Ring([1], { ahead: false })
    ring.ask(open('p', prompt, 0))
    ring.ask(spare('p'))
    ring.ask(open('d', other, 40))
    ring.ask(spare('d'))
    await ring.settle()
    for (const n of [1, 2, 3]) ring.ask(open(`e${n}`, prompt, 40))
    await ring.settle()
    expect(ring.failures().filter((failure) => failure.startsWith('d'))).toEqual([])
  })
})

/** What happens to one prompt: it is imported or not, to some position or given up, and then answered. */
const course = fc.record({
  prompt: fc.nat({ max: 2 }),
  length: fc.integer({ min: 2, max: 30 }),
  imported: fc.constantFrom('no', 'whole', 'partly', 'cancelled', 'kept'),
  position: fc.nat({ max: 30 }),
  pauses: fc.nat({ max: 3 }),
  /** Its prompt is computed for another ring as well, and soon nobody waits for that. */
  alone: fc.boolean(),
})

test('whatever is imported beside whatever runs, answers are right and every page comes back', async () => {
  const prompts = [
    prompt,
    prompt.map((token, at) => (at < 9 ? token : (token + 3) % 97)),
    prompt.map((t) => (t * 5) % 97),
  ]
  const sources = prompts.map(() => new Ring([1, 2]))
  for (const [index, source] of sources.entries()) {
    source.ask(open('p', prompts[index]!, 1))
    await source.settle()
  }
  await fc.assert(
    fc.asyncProperty(
      fc.array(course, { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 10, max: 24 }),
      fc.integer({ min: 1, max: 3 }),
      async (courses, kvPages, stages) => {
        const ring = new Ring(new Array<number>(stages).fill(1), {}, { ...capacity, kvPages })
        const lives = courses.map(async (life, index) => {
          const tokens = prompts[life.prompt]!.slice(0, life.length)
          const id = `i${index}`
          for (let n = 0; n < life.pauses; n++) await ring.settle()
          if (life.alone) {
            ring.ask(open(`p${index}`, tokens, 0))
            await ring.settle()
            ring.ask({ type: 'spare-request', session: sessionId(`p${index}`) })
          }
          if (life.imported !== 'no') {
            ring.ask(importOf(id, tokens))
            await ring.settle()
            const ready = ring.answers.find(
              (answer) => answer.type === 'import-ready' && answer.session === id,
            )
            if (ready?.type === 'import-ready' && life.imported === 'cancelled') {
              ring.ask({ type: 'cancel-request', session: sessionId(id) })
            } else if (ready?.type === 'import-ready') {
              const kept = life.imported === 'kept'
              const all = kept || life.imported === 'whole'
              const end = all ? ready.end : Math.min(ready.end, life.position)
              const lost = () => ring.failures().some((failure) => failure.startsWith(`${id} `))
              if (!lost() && end > ready.cachedTokens) {
                await transfer(sources[life.prompt]!, ring, ready.cachedTokens, end, id)
              }
              ring.ask(commit(id, end, kept))
            }
          }
          ring.ask(open(`d${index}`, tokens, 5))
        })
        await Promise.all(lives)
        for (let n = 0; n < 30; n++) await ring.settle()
        for (const index of courses.keys()) {
          for (const id of [`i${index}`, `p${index}`]) {
            ring.ask({ type: 'cancel-request', session: sessionId(id) })
          }
        }
        for (let n = 0; n < 30; n++) await ring.settle()
        for (const [index, { prompt: which, length }] of courses.entries()) {
          const got = ring.answers.flatMap((answer) =>
            answer.type === 'token' && answer.session === `d${index}` ? [answer.sampled.token] : [],
          )
          expect(got).toEqual(fakeGeneration(model, prompts[which]!.slice(0, length), sampling, 5, []))
        }
        for (const { node, engine } of ring.machines) {
          expect(node.snapshot()).toMatchObject({ sessions: 0, pagesHeld: 0 })
          expect(await engine.freePages()).toBe(kvPages)
        }
        expect(ring.machines[0]!.node.snapshot().leader).toMatchObject({ pagesHeld: 0, faults: 0 })
      },
    ),
    { numRuns: 120 },
  )
})
