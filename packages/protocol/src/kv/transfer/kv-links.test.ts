import { sessionId } from '@deos/domain'
import { expect, test } from 'vitest'
import { crc32 } from './crc32.ts'
import { KvReceiver, type ReceiverEffect } from './kv-receiver.ts'
import { KvSender, type SenderEffect } from './kv-sender.ts'
import { KvSlice } from './kv-slice.ts'
import { KV_ID_BYTES, type KvMessage, type KvPlan } from './transfer-messages.ts'

const layers = { first: 2, end: 4 }
const BLOCK_BYTES = 10

const plan = (id: string, overrides: Partial<KvPlan> = {}): KvPlan => ({
  type: 'kv-plan',
  epoch: 1,
  session: sessionId(id),
  role: 'send',
  shape: { length: 20, blockTokens: 4, parts: 2 },
  layers,
  levels: [0, 0],
  enhanceTo: null,
  calibration: null,
  maxBlockBytes: BLOCK_BYTES,
  deadlineMs: 1_000,
  routes: [{ peer: 'd', layers }],
  ids: new Uint8Array(5 * KV_ID_BYTES),
  ...overrides,
})

const senderOptions = {
  ...{ maxBytesInFlight: 4 * BLOCK_BYTES, maxRefusals: 3, offerRetryMs: 100, orphanPatienceMs: 1_000 },
  ...{ maxTransfers: 2, maxRefiningBytes: BLOCK_BYTES },
}
const receiverOptions = { windowBytes: 4 * BLOCK_BYTES, orphanPatienceMs: 1_000, maxTransfers: 2 }

/** A sender, a receiver, and the one link between them, whose messages wait to be moved. */
class Pair {
  readonly sender = new KvSender(senderOptions)
  readonly receiver = new KvReceiver(receiverOptions)
  readonly toReceiver: KvMessage[] = []
  readonly toSender: KvMessage[] = []
  readonly asked: string[] = []
  readonly arrived = new Map<string, number>()
  readonly answers: KvMessage[] = []
  readonly released: string[] = []
  inFlight = 0

  constructor(plans: readonly KvPlan[]) {
    this.send({ type: 'linked', peer: 'g', role: 'gateway' })
    this.receive({ type: 'linked', peer: 'g', role: 'gateway' })
    for (const message of plans) {
      this.send({ type: 'message', peer: 'g', message })
      const other: KvPlan = { ...message, role: 'receive', routes: [{ peer: 'p', layers }] }
      this.receive({ type: 'message', peer: 'g', message: other })
    }
    this.link()
  }

  link(): void {
    this.toReceiver.length = 0
    this.toSender.length = 0
    this.receive({ type: 'linked', peer: 'p', role: 'worker' })
    this.send({ type: 'linked', peer: 'd', role: 'worker' })
  }

  kill(): void {
    this.toReceiver.length = 0
    this.toSender.length = 0
    this.send({ type: 'unlinked', peer: 'd' })
    this.receive({ type: 'unlinked', peer: 'p' })
  }

  send(event: Parameters<KvSender['onEvent']>[0]): void {
    for (const effect of this.sender.onEvent(event, 0)) this.#performSender(effect)
    this.inFlight = Math.max(this.inFlight, this.sender.bytesInFlight('d'))
  }

  receive(event: Parameters<KvReceiver['onEvent']>[0]): void {
    for (const effect of this.receiver.onEvent(event, 0)) this.#performReceiver(effect)
  }

  computed(id: string, end: number): void {
    this.send({ type: 'computed', session: sessionId(id), layers, end })
  }

  /** Moves one message, to the receiver if there is one; `false` if there is none. */
  move(): boolean {
    const block = this.toReceiver.shift()
    if (block !== undefined) {
      if (block.type === 'kv-block') {
        const key = [block.session, block.block, block.layer, block.part, block.level].join()
        this.arrived.set(key, (this.arrived.get(key) ?? 0) + 1)
      }
      this.receive({ type: 'message', peer: 'p', message: block })
      return true
    }
    const ack = this.toSender.shift()
    if (ack !== undefined) this.send({ type: 'message', peer: 'd', message: ack })
    return ack !== undefined
  }

  drain(): void {
    while (this.move());
  }

  #performSender(effect: SenderEffect): void {
    if (effect.type === 'release') this.released.push(effect.session)
    if (effect.type === 'send' && effect.peer === 'd') this.toReceiver.push(effect.message)
    if (effect.type === 'send' && effect.peer === 'g') this.answers.push(effect.message)
    if (effect.type !== 'encode') return
    const { type: _, ...rest } = effect
    this.asked.push([effect.session, effect.block, effect.layer, effect.part, effect.level].join())
    this.send({ type: 'encoded', ...rest, basis: 0, bytes: new Uint8Array(BLOCK_BYTES) })
  }

  #performReceiver(effect: ReceiverEffect): void {
    if (effect.type === 'look-up') {
      const { session, epoch } = effect.plan
      this.receive({ type: 'found', session, epoch, blocks: [] })
    } else if (effect.type === 'write') {
      this.receive({ ...effect.block, type: 'written', stored: true })
    } else if (effect.type === 'send') {
      if (effect.peer === 'g') this.answers.push(effect.message)
      else this.toSender.push(effect.message)
    } else if (effect.type === 'close-link') throw new Error(effect.reason)
  }
}

test('crc32() of the customary check string', () => {
  expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926)
  expect(crc32(new Uint8Array(0))).toBe(0)
})

test('a slice numbers its blocks by position, layer and part', () => {
  const slice = new KvSlice({ length: 9, blockTokens: 4, parts: 2 }, layers)
  expect(slice.size).toBe(12)
  for (let index = 0; index < slice.size; index++) expect(slice.index(slice.address(index))).toBe(index)
  expect(slice.address(6)).toEqual({ block: 1, layer: 3, part: 0 })
  expect(slice.end(2)).toBe(9)
  expect(slice.index({ block: 0, layer: 4, part: 0 })).toBe(-1)
  expect(slice.index({ block: 3, layer: 2, part: 0 })).toBe(-1)
})

test('blocks leave while the rest is computed, in the order in which they are needed', () => {
  const pair = new Pair([plan('a')])
  pair.drain()
  expect(pair.asked).toEqual([])
  pair.computed('a', 9)
  pair.drain()
  expect(pair.asked).toEqual([
    'a,0,2,0,0',
    'a,0,2,1,0',
    'a,0,3,0,0',
    'a,0,3,1,0',
    'a,1,2,0,0',
    'a,1,2,1,0',
    'a,1,3,0,0',
    'a,1,3,1,0',
  ])
  pair.computed('a', 20)
  pair.drain()
  expect(pair.arrived.size).toBe(20)
  expect(pair.inFlight).toBe(4 * BLOCK_BYTES)
})

/** The decode side has a session; what is to be refined may be. */
const committed = (id: string, partial = false): KvMessage => ({
  ...{ type: 'kv-committed', epoch: 1, session: sessionId(id), position: 20, partial },
  ...{ coarsest: 0, bytes: 0 },
})

test('the sooner deadline goes first', () => {
  const late = plan('a', { deadlineMs: 5_000 })
  const soon = plan('b', {
    deadlineMs: 100,
    shape: { length: 4, blockTokens: 4, parts: 2 },
    ids: new Uint8Array(KV_ID_BYTES),
  })
  const pair = new Pair([late, soon])
  pair.drain()
  pair.computed('a', 20)
  pair.computed('b', 4)
  pair.drain()
  // The window was full of the first before there was anything of the second.
  expect(pair.asked.slice(0, 8).map(([id]) => id)).toEqual(['a', 'a', 'a', 'a', 'b', 'b', 'b', 'b'])
})

test('what refines waits until the decode side has the session, and then for every block of others', () => {
  const refined = plan('a', { levels: [2, 2], enhanceTo: 0 })
  const pair = new Pair([refined, plan('b', { deadlineMs: 9_000 })])
  pair.drain()
  pair.computed('a', 20)
  pair.drain()
  expect(pair.asked.every((key) => key.endsWith('2'))).toBe(true)
  pair.send({ type: 'message', peer: 'g', message: committed('a') })
  pair.move()
  expect(pair.asked.slice(20)).toEqual(['a,0,2,0,0'])
  pair.computed('b', 20)
  pair.drain()
  // One block may be under way before those that somebody waits for.
  expect(pair.asked.slice(20).map(([id]) => id)).toEqual([
    'a',
    ...new Array<string>(20).fill('b'),
    ...new Array<string>(19).fill('a'),
  ])
  expect(pair.released).toEqual(['a'])
})

test('a session whose pages are closed is not refined, and says so when it is asked', () => {
  const refined = plan('a', { levels: [2, 2], enhanceTo: 0 })
  const pair = new Pair([refined])
  pair.computed('a', 20)
  pair.drain()
  pair.send({ type: 'message', peer: 'g', message: committed('a') })
  for (let n = 0; n < 6; n++) pair.move()
  pair.receive({ type: 'closed', session: sessionId('a') })
  const ask = { type: 'kv-commit', epoch: 1, session: sessionId('a'), partial: false } as const
  pair.receive({ type: 'message', peer: 'g', message: { ...ask, levels: [2, 2] } })
  pair.receive({ type: 'message', peer: 'g', message: { ...ask, levels: [0, 0] } })
  expect(pair.answers.slice(-2)).toMatchObject([
    { type: 'kv-committed', position: 20 },
    { type: 'kv-abort', outcome: 'keep', reason: expect.stringContaining('cannot be written') },
  ])
  const { size } = pair.arrived
  pair.drain()
  // What was under way is dropped, and nothing follows it.
  expect(pair.arrived.size).toBeLessThanOrEqual(size + 1)
})

test('while it is refined the receiver tells now and then what came, and the last word counts all', () => {
  const pair = new Pair([plan('a', { levels: [2, 2], enhanceTo: 0 })])
  pair.computed('a', 20)
  pair.drain()
  const ask = {
    type: 'kv-commit',
    epoch: 1,
    session: sessionId('a'),
    partial: false,
    levels: [2, 2],
  } as const
  pair.receive({ type: 'message', peer: 'g', message: ask })
  pair.send({ type: 'message', peer: 'g', message: committed('a') })
  pair.drain()
  const told = pair.answers.flatMap((answer) =>
    answer.type === 'kv-committed' && answer.bytes > 0 ? [answer] : [],
  )
  // Twenty blocks as they came, and a word for every two that came better.
  expect(told.map(({ bytes }) => bytes / BLOCK_BYTES)).toEqual([20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40])
  expect(told.map(({ partial }) => partial)).toEqual([false, ...new Array<boolean>(10).fill(true)])
  const over: KvMessage = {
    ...{ type: 'kv-abort', epoch: 1, session: sessionId('a'), outcome: 'drop', reason: 'over', bytes: 0 },
  }
  pair.receive({ type: 'message', peer: 'g', message: over })
  expect(pair.answers.at(-1)).toEqual({ ...over, bytes: 40 * BLOCK_BYTES })
})

test('a sender that is told that nothing is to be refined lets go at once', () => {
  const pair = new Pair([plan('a', { levels: [2, 2], enhanceTo: 0 })])
  pair.computed('a', 20)
  pair.drain()
  pair.send({ type: 'message', peer: 'g', message: committed('a', true) })
  expect(pair.released).toEqual(['a'])
})

test('a link that is killed after any message: no block arrives twice, and all arrive', () => {
  for (let moves = 0; moves < 60; moves++) {
    const pair = new Pair([plan('a')])
    pair.computed('a', 20)
    for (let n = 0; n < moves; n++) pair.move()
    const begun = pair.asked.length
    const arrivedBefore = pair.arrived.size
    pair.kill()
    pair.link()
    pair.drain()
    expect([...pair.arrived.values()], `killed after ${moves}`).toEqual(new Array<number>(20).fill(1))
    // What is encoded again is what was on the link, no more than its window.
    expect(pair.asked.length - 20).toBe(begun - arrivedBefore)
    expect(begun - arrivedBefore).toBeLessThanOrEqual(4)
  }
})

test('what is stored stays when the plan changes, where the content is the same', () => {
  const pair = new Pair([plan('a')])
  pair.computed('a', 20)
  pair.drain()
  pair.arrived.clear()
  const ids = new Uint8Array(5 * KV_ID_BYTES)
  ids[3 * KV_ID_BYTES] = 1
  const next = plan('a', { epoch: 2, ids })
  const other: KvPlan = { ...next, role: 'receive', routes: [{ peer: 'p', layers }] }
  pair.receive({ type: 'message', peer: 'g', message: other })
  pair.send({ type: 'message', peer: 'g', message: next })
  pair.drain()
  expect([...pair.arrived.keys()]).toEqual(['a,3,2,0,0', 'a,3,2,1,0', 'a,3,3,0,0', 'a,3,3,1,0'])
})

test('an answer to an earlier offer, or the same one again, changes nothing', () => {
  const pair = new Pair([plan('a')])
  while (pair.toReceiver.length > 0) pair.move()
  const have = pair.toSender.find(({ type }) => type === 'kv-have')!
  pair.computed('a', 20)
  pair.drain()
  pair.send({ type: 'message', peer: 'd', message: have })
  pair.drain()
  expect([...pair.arrived.values()]).toEqual(new Array<number>(20).fill(1))
  expect(pair.asked).toHaveLength(20)
})

test('the sender keeps everything until it is told, and answers as often as it is told', () => {
  const pair = new Pair([plan('a')])
  pair.computed('a', 20)
  pair.drain()
  expect(pair.sender.open).toBe(1)
  const message: KvMessage = {
    type: 'kv-committed',
    epoch: 1,
    session: sessionId('a'),
    position: 20,
    partial: false,
    coarsest: 0,
    bytes: 0,
  }
  pair.send({ type: 'message', peer: 'd', message })
  expect(pair.released).toEqual([])
  pair.send({ type: 'message', peer: 'g', message })
  pair.send({ type: 'message', peer: 'g', message })
  expect(pair.released).toEqual(['a'])
  expect(pair.answers).toEqual([message, message])
  pair.send({ type: 'message', peer: 'g', message: plan('a') })
  expect(pair.sender.open).toBe(0)
})

test('a promise tells the bytes that came, and blocks that were there already do not count', () => {
  const pair = new Pair([plan('a')])
  const ask = {
    type: 'kv-commit',
    epoch: 1,
    session: sessionId('a'),
    partial: false,
    levels: [0, 0],
  } as const
  pair.receive({ type: 'message', peer: 'g', message: ask })
  pair.computed('a', 20)
  pair.kill()
  pair.link()
  pair.drain()
  // 5 runs of 2 layers with keys and values.
  expect(pair.answers).toMatchObject([{ type: 'kv-committed', position: 20, bytes: 20 * BLOCK_BYTES }])
})

test('plans of workers, and plans beyond what may be open, are refused', () => {
  const pair = new Pair([plan('a'), plan('b')])
  pair.send({ type: 'message', peer: 'd', message: plan('c') })
  expect(pair.answers).toEqual([])
  pair.send({ type: 'message', peer: 'g', message: plan('c') })
  expect(pair.answers).toMatchObject([{ type: 'kv-abort', session: 'c', outcome: 'keep' }])
  expect(pair.sender.open).toBe(2)
})

test('an offer whose answer takes longer than the next one is answered all the same, and once', () => {
  const sender = new KvSender(senderOptions)
  const session = sessionId('a')
  sender.onEvent({ type: 'linked', peer: 'g', role: 'gateway' }, 0)
  sender.onEvent({ type: 'linked', peer: 'd', role: 'worker' }, 0)
  const effects = [...sender.onEvent({ type: 'message', peer: 'g', message: plan('a') }, 0)]
  sender.onEvent({ type: 'computed', session, layers, end: 20 }, 0)
  // A slow link carries 250 ms of others' blocks in front of it.
  for (const nowMs of [50, 100, 150, 200, 250]) effects.push(...sender.onEvent({ type: 'tick' }, nowMs))
  const offers = effects.flatMap((effect) =>
    effect.type === 'send' && effect.message.type === 'kv-offer' ? [effect.message] : [],
  )
  expect(offers).toHaveLength(3)
  const answers = offers.map(({ offer }) =>
    sender.onEvent(
      {
        ...{ type: 'message', peer: 'd' },
        message: {
          ...{ type: 'kv-have', epoch: 1, session, offer, windowBytes: 40, count: 20 },
          bits: new Uint8Array(3),
        },
      },
      260,
    ),
  )
  expect(answers.map((asked) => asked.length)).toEqual([4, 0, 0])
})

test('a block that its plan does not allow is a bug of who encoded it', () => {
  const sender = new KvSender(senderOptions)
  sender.onEvent({ type: 'linked', peer: 'g', role: 'gateway' }, 0)
  sender.onEvent({ type: 'linked', peer: 'd', role: 'worker' }, 0)
  sender.onEvent({ type: 'message', peer: 'g', message: plan('a') }, 0)
  sender.onEvent({ type: 'computed', session: sessionId('a'), layers, end: 20 }, 0)
  const have: KvMessage = {
    ...{ type: 'kv-have', epoch: 1, session: sessionId('a'), offer: 1, windowBytes: 40, count: 20 },
    bits: new Uint8Array(3),
  }
  const [effect] = sender.onEvent({ type: 'message', peer: 'd', message: have }, 0)
  if (effect?.type !== 'encode') throw new Error('no block was asked for')
  const bytes = new Uint8Array(BLOCK_BYTES + 1)
  expect(() => sender.onEvent({ ...effect, type: 'encoded', basis: 0, bytes }, 0)).toThrow('11 bytes')
})
