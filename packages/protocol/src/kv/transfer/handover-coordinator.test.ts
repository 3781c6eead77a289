import { sessionId } from '@deos/domain'
import { expect, test } from 'vitest'
import {
  type CoordinatorEffect,
  type CoordinatorEvent,
  HandoverCoordinator,
  type HandoverOptions,
} from './handover-coordinator.ts'
import { KV_ID_BYTES, type KvMessage } from './transfer-messages.ts'

const session = sessionId('s')
const LENGTH = 10
const options: HandoverOptions = {
  session,
  shape: { length: LENGTH, blockTokens: 4, parts: 2 },
  ids: new Uint8Array(3 * KV_ID_BYTES),
  maxBlockBytes: 100,
  senders: [
    { peer: 'p0', layers: { first: 0, end: 1 } },
    { peer: 'p1', layers: { first: 1, end: 3 } },
  ],
  receivers: [
    { peer: 'd0', layers: { first: 0, end: 2 } },
    { peer: 'd1', layers: { first: 2, end: 3 } },
  ],
  levels: [0, 0, 0],
  enhanceTo: null,
  deadlineMs: 1_000,
  answerMs: 100,
  firstEpoch: 4,
}

/** A coordinator with all links up, and what its last event led to. */
class Desk {
  readonly coordinator: HandoverCoordinator
  effects: readonly CoordinatorEffect[] = []
  nowMs = 0

  constructor(overrides: Partial<HandoverOptions> = {}) {
    this.coordinator = new HandoverCoordinator({ ...options, ...overrides })
    for (const peer of ['p0', 'p1', 'd0', 'd1']) this.feed({ type: 'linked', peer })
    this.feed({ type: 'begin' })
  }

  feed(event: CoordinatorEvent): readonly CoordinatorEffect[] {
    this.effects = this.coordinator.onEvent(event, this.nowMs)
    return this.effects
  }

  promise(
    peer: string,
    position: number,
    partial = false,
    epoch = this.coordinator.epoch,
    coarsest = this.coordinator.phase === 'refining' ? 0 : 3,
  ): void {
    const message: KvMessage = {
      ...{ type: 'kv-committed', epoch, session, position, partial, coarsest, bytes: 0 },
    }
    this.feed({ type: 'message', peer, message })
  }

  echo(peer: string): void {
    const sent = this.sent(peer).at(-1)
    if (sent === undefined) throw new Error(`${peer} was told nothing`)
    this.feed({ type: 'message', peer, message: sent })
  }

  sent(peer: string): readonly KvMessage[] {
    return this.effects.flatMap((effect) =>
      effect.type === 'send' && effect.peer === peer ? [effect.message] : [],
    )
  }

  get rest(): readonly CoordinatorEffect[] {
    return this.effects.filter(({ type }) => type !== 'send')
  }
}

test('plans name the layers that each pair of workers has in common', () => {
  const desk = new Desk()
  expect(desk.sent('p1')).toMatchObject([
    {
      type: 'kv-plan',
      ...{ role: 'send', epoch: 4, layers: { first: 1, end: 3 }, levels: [0, 0] },
      routes: [
        { peer: 'd0', layers: { first: 1, end: 2 } },
        { peer: 'd1', layers: { first: 2, end: 3 } },
      ],
    },
  ])
  expect(desk.sent('d0').map(({ type }) => type)).toEqual(['kv-plan', 'kv-commit'])
})

test('nobody lets go before the decode ring has the session', () => {
  const desk = new Desk()
  desk.promise('d0', LENGTH)
  expect(desk.effects).toEqual([])
  desk.promise('d1', LENGTH)
  expect(desk.effects).toEqual([{ type: 'start', epoch: 4, position: LENGTH }])
  expect(desk.coordinator.owner).toBe('prefill')
  desk.feed({ type: 'started', epoch: 4 })
  expect(desk.rest).toMatchObject([{ type: 'decided', outcome: 'decode' }])
  expect(desk.coordinator.owner).toBe('decode')
  const told = desk.effects
  for (const effect of told) {
    if (effect.type === 'send') desk.feed({ type: 'message', peer: effect.peer, message: effect.message })
  }
  expect(desk.rest).toEqual([{ type: 'over' }])
})

test('promises of an earlier epoch, of strangers, and answers to an earlier question do not count', () => {
  const desk = new Desk({ levels: [2, 2, 2] })
  desk.promise('d0', LENGTH, false, 3)
  desk.promise('d9', LENGTH)
  desk.promise('p0', LENGTH)
  desk.feed({ type: 'senders-changed', senders: null })
  // Nothing can be compared any more: only what is exact counts.
  expect(desk.sent('d0')).toMatchObject([{ type: 'kv-commit', partial: true, levels: [0, 0] }])
  desk.promise('d0', LENGTH, false)
  desk.promise('d1', LENGTH, false)
  expect(desk.rest).toEqual([])
  desk.promise('d0', 8, true)
  desk.promise('d1', 4, true)
  expect(desk.rest).toEqual([{ type: 'start', epoch: 4, position: 4 }])
})

test('a promise is forgotten with the link of who gave it', () => {
  const desk = new Desk()
  desk.promise('d0', LENGTH)
  desk.feed({ type: 'unlinked', peer: 'd0' })
  desk.promise('d1', LENGTH)
  expect(desk.effects).toEqual([])
  desk.feed({ type: 'linked', peer: 'd0' })
  expect(desk.sent('d0').map(({ type }) => type)).toEqual(['kv-plan', 'kv-commit'])
  desk.promise('d0', LENGTH)
  expect(desk.rest).toMatchObject([{ type: 'start' }])
})

test('what does not pass the comparison is sent at better levels, and at last not at all', () => {
  const desk = new Desk({ levels: [2, 0, 2] })
  const guard = (peer: string): void => {
    const rows = [{ position: 9, logSumExp: 1, top: [{ token: 1, logit: 0.5 }] }]
    desk.feed({
      type: 'message',
      peer,
      message: { type: 'kv-guard', epoch: desk.coordinator.epoch, session, rows },
    })
  }
  guard('p0')
  guard('p1')
  desk.promise('d0', LENGTH)
  desk.promise('d1', LENGTH)
  expect(desk.rest).toMatchObject([{ type: 'judge', epoch: 4 }])
  desk.feed({ type: 'judged', epoch: 4, passed: false, levels: [1, 0, 2] })
  expect(desk.sent('p0')).toMatchObject([{ type: 'kv-plan', epoch: 5, levels: [1] }])
  desk.promise('d0', LENGTH)
  desk.promise('d1', LENGTH)
  guard('p1')
  desk.feed({ type: 'judged', epoch: 5, passed: false, levels: null })
  expect(desk.sent('d1')).toMatchObject([{ type: 'kv-commit', partial: true, levels: [0] }])
})

test('a decode ring that fails before it has the session: others take its place, or the prefill ring goes on', () => {
  const desk = new Desk()
  desk.promise('d0', LENGTH)
  desk.promise('d1', LENGTH)
  desk.feed({ type: 'receivers-changed', receivers: [{ peer: 'e0', layers: { first: 0, end: 3 } }] })
  expect(desk.coordinator.phase).toBe('streaming')
  expect(desk.sent('p0')).toMatchObject([{ type: 'kv-plan', epoch: 5, routes: [{ peer: 'e0' }] }])
  desk.feed({ type: 'started', epoch: 4 })
  expect(desk.effects).toEqual([])
  desk.feed({ type: 'receivers-changed', receivers: null })
  expect(desk.rest).toMatchObject([{ type: 'decided', outcome: 'prefill' }])
  expect(desk.sent('p0')).toMatchObject([{ type: 'kv-abort', outcome: 'keep' }])
})

test('who is replaced is told when its link is back', () => {
  const desk = new Desk()
  desk.feed({ type: 'unlinked', peer: 'p0' })
  const p2 = { peer: 'p2', layers: { first: 0, end: 1 } }
  desk.feed({ type: 'senders-changed', senders: [p2, options.senders[1]!] })
  desk.feed({ type: 'linked', peer: 'p0' })
  expect(desk.sent('p0')).toMatchObject([{ type: 'kv-abort', outcome: 'drop' }])
  desk.echo('p0')
  desk.feed({ type: 'linked', peer: 'p0' })
  expect(desk.effects).toEqual([])
})

/** The decode ring has the session, and the prefill ring knows it. */
function refining(overrides: Partial<HandoverOptions> = {}): Desk {
  const desk = new Desk({ levels: [3, 0, 3], enhanceTo: 1, enhanceMs: 700, judgedLater: true, ...overrides })
  desk.promise('d0', LENGTH)
  desk.promise('d1', LENGTH)
  desk.feed({ type: 'started', epoch: 4 })
  const told = ['p0', 'p1'].map((peer) => [peer, desk.sent(peer)[0]!] as const)
  for (const [peer, message] of told) desk.feed({ type: 'message', peer, message })
  return desk
}

test('after the start better copies follow, until every receiver has them', () => {
  const desk = new Desk({ levels: [3, 0, 3], enhanceTo: 1, judgedLater: true })
  desk.promise('d0', LENGTH)
  desk.promise('d1', LENGTH)
  desk.feed({ type: 'started', epoch: 4 })
  expect(desk.rest).toMatchObject([{ type: 'decided', outcome: 'decode' }])
  expect(desk.sent('p0')).toMatchObject([{ type: 'kv-committed', partial: false }])
  expect(desk.sent('d0')).toEqual([])
  const told = new Map(['p0', 'p1'].map((peer) => [peer, desk.sent(peer)[0]!]))
  for (const [peer, message] of told) desk.feed({ type: 'message', peer, message })
  expect(desk.coordinator.phase).toBe('refining')
  expect(desk.sent('d0')).toMatchObject([{ type: 'kv-commit', partial: false, levels: [1, 0] }])
  expect(desk.sent('d1')).toMatchObject([{ type: 'kv-commit', partial: false, levels: [1] }])
  // What a receiver tells meanwhile is not yet all.
  desk.promise('d0', LENGTH, true)
  desk.promise('d0', LENGTH)
  expect(desk.effects).toEqual([])
  // A late answer to the first question is none to the second.
  desk.promise('d1', LENGTH, false, 4, 3)
  expect(desk.effects).toEqual([])
  desk.promise('d1', LENGTH)
  expect(desk.rest).toMatchObject([{ type: 'refined', complete: true }])
  const over = ['p0', 'p1', 'd0', 'd1'].map((peer) => [peer, desk.sent(peer)[0]!] as const)
  expect(over.map(([, message]) => message)).toMatchObject(
    new Array(4).fill({ type: 'kv-abort', outcome: 'drop' }),
  )
  for (const [peer, message] of over) desk.feed({ type: 'message', peer, message })
  expect(desk.rest).toEqual([{ type: 'over' }])
})

test.each<[string, RegExp, (desk: Desk) => void]>([
  [
    'a receiver whose pages are closed',
    /wanted/,
    (desk) => {
      const reason = 'The pages are wanted.'
      const message = { type: 'kv-abort', epoch: 4, session, outcome: 'keep', reason, bytes: 9 } as const
      desk.feed({ type: 'message', peer: 'd1', message })
    },
  ],
  ['a link that breaks', /p1 is gone/, (desk) => desk.feed({ type: 'unlinked', peer: 'p1' })],
  ['a prefill ring that lets go', /let go/, (desk) => desk.feed({ type: 'senders-changed', senders: null })],
  ['a decode ring that fails', /failed/, (desk) => desk.feed({ type: 'receivers-changed', receivers: null })],
  ['the end of the session', /over/, (desk) => desk.feed({ type: 'cancel' })],
  [
    'its time',
    /too long/,
    (desk) => {
      desk.nowMs = 700
      desk.feed({ type: 'tick' })
    },
  ],
])('%s ends better copies, and nothing else', (_, reason, happen) => {
  const desk = refining()
  happen(desk)
  expect(desk.rest).toEqual([{ type: 'refined', complete: false, reason: expect.stringMatching(reason) }])
  expect(desk.coordinator.owner).toBe('decode')
  expect(desk.sent('d0')).toMatchObject([{ type: 'kv-abort', outcome: 'drop' }])
  desk.nowMs = 2_000
  desk.feed({ type: 'tick' })
  expect(desk.effects).toEqual([{ type: 'over' }])
})

test('nothing is refined that came as well already, only in part, or whose senders are gone', () => {
  const fine = new Desk({ levels: [1, 0, 1], enhanceTo: 1, judgedLater: true })
  const gone = new Desk({ levels: [3, 3, 3], enhanceTo: 1, judgedLater: true })
  for (const desk of [fine, gone]) {
    desk.promise('d0', LENGTH)
    desk.promise('d1', LENGTH)
  }
  gone.feed({ type: 'senders-changed', senders: null })
  const partly = new Desk({ levels: [3, 3, 3], enhanceTo: 1, judgedLater: true, deadlineMs: 10 })
  partly.nowMs = 10
  partly.feed({ type: 'tick' })
  partly.promise('d0', 8, true)
  partly.promise('d1', 8, true)
  for (const desk of [fine, gone, partly]) {
    desk.feed({ type: 'started', epoch: 4 })
    expect(desk.sent('d0')).toMatchObject([{ type: 'kv-abort', outcome: 'drop' }])
  }
  expect(fine.sent('p0')).toMatchObject([{ type: 'kv-committed', partial: true }])
})

test('what fails while the prefill ring is told ends better copies before they begin', () => {
  const desk = new Desk({ levels: [3, 0, 3], enhanceTo: 1, judgedLater: true })
  desk.promise('d0', LENGTH)
  desk.promise('d1', LENGTH)
  desk.feed({ type: 'started', epoch: 4 })
  const messages = ['p0', 'p1'].map((peer) => [peer, desk.sent(peer)[0]!] as const)
  desk.feed({ type: 'senders-changed', senders: null })
  for (const [peer, message] of messages) desk.feed({ type: 'message', peer, message })
  expect(desk.rest).toMatchObject([{ type: 'refined', complete: false }])
})

test('every wait ends', () => {
  const desk = new Desk()
  desk.nowMs = 1_000
  desk.feed({ type: 'tick' })
  expect(desk.coordinator.phase).toBe('settling')
  desk.nowMs = 1_100
  desk.feed({ type: 'tick' })
  expect(desk.rest).toMatchObject([{ type: 'decided', outcome: 'prefill' }])
  desk.nowMs = 1_200
  desk.feed({ type: 'tick' })
  expect(desk.effects).toEqual([{ type: 'over' }])
})

test('stages that leave a layer out, or take it twice, and foreign ids are refused', () => {
  const wrong = (overrides: Partial<HandoverOptions>) => () =>
    new HandoverCoordinator({ ...options, ...overrides })
  expect(wrong({ senders: [options.senders[0]!] })).toThrow('cover 1 of 3 layers')
  expect(wrong({ receivers: [...options.receivers, options.receivers[1]!] })).toThrow('layer 3 of 3')
  expect(wrong({ receivers: [{ peer: 'p0', layers: { first: 0, end: 3 } }] })).toThrow(
    'p0 cannot send and receive',
  )
  expect(wrong({ ids: new Uint8Array(1) })).toThrow('ids of 3 blocks')
})
