import { ringId, seededRandom } from '@deos/domain'
import { type EngineStepResult, plainNeeds, type RingCapacity } from '@deos/protocol'
import { linkIdentity, MemoryNetwork } from '@deos/transport'
import { VirtualTimers } from '@deos/transport/testing'
import { expect, test } from 'vitest'
import { type HelpingEngine, RankFollower } from './rank-follower.ts'
import type { SharedRequest } from './rank-frames.ts'
import { type FirstEngine, RankLeader } from './rank-leader.ts'
import type { RankedEngine } from './ranked-engine.ts'

const capacity: RingCapacity = { kvPages: 64, pageTokens: 16, contextLength: 512, maxBatchTokens: 128 }
const nothing: EngineStepResult = { hidden: new Uint8Array(), sampled: [], pooled: [], computeUs: 1 }

type Handed = readonly [from: number, data: readonly number[]]

class FakeFirst implements FirstEngine {
  readonly capacity = capacity
  readonly kv = { layers: { first: 0, end: 1 }, type: 'F32', layouts: [] }
  readonly handed: Handed[] = []
  stopped = false
  prepare = () => Promise.resolve()
  open = () => undefined
  close = () => undefined
  step = () => Promise.resolve(nothing)
  readKv = () => Promise.resolve(new Uint8Array())
  writeKv = () => Promise.resolve()
  reset = () => Promise.resolve()
  freePages = () => Promise.resolve(64)
  hand(from: number, data: Uint8Array): void {
    this.handed.push([from, [...data]])
  }
  stop(): Promise<void> {
    this.stopped = true
    return Promise.resolve()
  }
}

class FakeHelper implements HelpingEngine {
  readonly requests: SharedRequest[] = []
  readonly payloads: number[][] = []
  readonly handed: Handed[] = []
  stopped = false
  constructor(readonly capacity: RingCapacity) {}
  forward(request: SharedRequest, payload: Uint8Array): void {
    this.requests.push(request)
    this.payloads.push([...payload])
  }
  hand(from: number, data: Uint8Array): void {
    this.handed.push([from, [...data]])
  }
  stop(): Promise<void> {
    this.stopped = true
    return Promise.resolve()
  }
}

/** Rank 0 and two others on a network in memory, none with an engine yet. */
async function world() {
  const timers = new VirtualTimers()
  const random = seededRandom(3)
  const network = new MemoryNetwork({ latencyMs: [1, 3] }, timers, random)
  const transport = (role: 'worker' | 'rank', peer: string) =>
    network.transport(linkIdentity(role, peer, ringId('r')), 's')
  const ready: RankedEngine[] = []
  const lost: string[] = []
  const leader = new RankLeader(3, {
    onReady: (engine) => ready.push(engine),
    onLost: (reason) => lost.push(reason),
  })
  await transport('worker', 'first').listen('first', (link) => leader.accept(link))
  const followers = [1, 2].map((rank) => {
    const follower = new RankFollower(rank, {
      ...{ transport: transport('rank', `rank${rank}`), timers, random },
      onNote: () => undefined,
    })
    follower.connectNext('first')
    return follower
  })
  const pass = async () => timers.runUntil(timers.now() + 5_000)
  await pass()
  return { network, leader, followers, ready, lost, pass }
}

/** The same, all loaded and begun. */
async function together() {
  const here = await world()
  const first = new FakeFirst()
  const helpers = [new FakeHelper(capacity), new FakeHelper({ ...capacity, kvPages: 48 })] as const
  here.leader.attach(first)
  for (const [index, helper] of helpers.entries()) here.followers[index]!.attach(helper)
  await here.pass()
  return { ...here, first, helpers, engine: here.ready[0]! }
}

test('a stage is there when all its ranks are, and holds what the smallest holds', async () => {
  const { leader, followers, ready, pass } = await world()
  leader.attach(new FakeFirst())
  followers[0]!.attach(new FakeHelper(capacity))
  await pass()
  expect(ready).toHaveLength(0)
  followers[1]!.attach(new FakeHelper({ ...capacity, kvPages: 48 }))
  await pass()
  expect(ready.map((engine) => engine.capacity)).toEqual([{ ...capacity, kvPages: 48 }])
})

test('every rank is asked for what rank 0 is asked for, in order', async () => {
  const { engine, helpers, pass } = await together()
  const entries = [{ key: 7, position: 0, count: 2, sample: true, pages: [3] }]
  void engine.step({ entries, tokens: Int32Array.of(5, 6), hidden: null })
  engine.close(7)
  await engine.reset()
  await pass()
  for (const { requests, payloads } of helpers) {
    expect(requests.map(({ type }) => type)).toEqual(['step', 'close', 'reset'])
    expect(requests[0]).toMatchObject({ entries, embeds: true })
    expect(payloads[0]).toEqual([5, 0, 0, 0, 6, 0, 0, 0])
  }
})

test('values reach the ranks they are for', async () => {
  const { leader, followers, first, helpers, pass } = await together()
  leader.hand([1, 2], Uint8Array.of(1, 2, 3, 4))
  followers[0]!.hand([0, 2], Uint8Array.of(5, 6, 7, 8))
  await pass()
  expect(first.handed).toEqual([[1, [5, 6, 7, 8]]])
  expect(helpers[0].handed).toEqual([[0, [1, 2, 3, 4]]])
  expect(helpers[1].handed.toSorted()).toEqual([
    [0, [1, 2, 3, 4]],
    [1, [5, 6, 7, 8]],
  ])
})

test('what a divided stage cannot do is said', async () => {
  const { engine } = await together()
  await expect(engine.prepare({ ...plainNeeds, adapter: 'poet' }, 8)).rejects.toThrow('adapter poet')
  await expect(engine.readKv()).rejects.toThrow('divided among ranks')
})

test.each([
  ['the engine of rank 0 is lost', ({ leader }: World) => leader.detach('it died')],
  ['an engine of another is lost', ({ followers }: World) => followers[1]!.detach('it died')],
  ['an engine of another fails', ({ followers }: World) => followers[0]!.fail('it failed')],
  ['a link is lost', ({ network }: World) => network.connections[0]!.cut('cable pulled')],
] as const)('%s: all engines end, and begin again together', async (_, happens) => {
  const here = await together()
  happens(here)
  await here.pass()
  expect(here.lost).toHaveLength(1)
  const { first, helpers, leader, followers, ready, pass } = here
  expect([first, ...helpers].filter(({ stopped }) => stopped).length).toBeGreaterThanOrEqual(2)
  // Nothing of before is listened to any more.
  followers[0]!.hand([0], Uint8Array.of(9, 9, 9, 9))
  leader.detach('it ended')
  for (const follower of followers) follower.detach('it ended')
  const [again, others] = [new FakeFirst(), [new FakeHelper(capacity), new FakeHelper(capacity)]]
  leader.attach(again)
  for (const [index, helper] of others.entries()) followers[index]!.attach(helper)
  await pass()
  expect(ready).toHaveLength(2)
  expect(here.lost).toHaveLength(1)
  ready[1]!.close(4)
  followers[1]!.hand([0], Uint8Array.of(1, 1, 1, 1))
  await pass()
  expect(again.handed).toEqual([[2, [1, 1, 1, 1]]])
  for (const { requests } of others) expect(requests).toEqual([{ type: 'close', key: 4 }])
})
type World = Awaited<ReturnType<typeof together>>
