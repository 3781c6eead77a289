import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RingSupervision } from './ring-supervision.ts'

const limits = { restarts: 2, windowMs: 10_000, firstDelayMs: 100, longestDelayMs: 1000 }

function running(stages: number): RingSupervision {
  const supervision = new RingSupervision(Array(stages).fill(1), limits)
  supervision.onEvent({ type: 'begin' })
  for (let stage = 0; stage < stages; stage += 1) {
    const address = `127.0.0.1:${7000 + stage}`
    supervision.onEvent({ type: 'message', stage, message: { event: 'listening', address } })
    supervision.onEvent({ type: 'message', stage, message: { event: 'ready' } })
  }
  return supervision
}

const exited = (stage: number, nowMs = 0) =>
  ({ type: 'exited', stage, reason: 'ended by SIGKILL', nowMs }) as const

test('all workers start at once; the circle is closed when the last one listens', () => {
  const supervision = new RingSupervision([1, 1, 1], limits)
  expect(supervision.onEvent({ type: 'begin' })).toEqual(
    [0, 1, 2].map((stage) => ({ type: 'start', stage, listen: '127.0.0.1:0' })),
  )
  const listening = (stage: number) =>
    supervision.onEvent({ type: 'message', stage, message: { event: 'listening', address: `h:${stage}` } })
  expect(listening(2)).toEqual([])
  expect(listening(0)).toEqual([])
  expect(listening(1)).toEqual([
    { type: 'link', stage: 0, downstream: 'h:1' },
    { type: 'link', stage: 1, downstream: 'h:2' },
    { type: 'link', stage: 2, downstream: 'h:0' },
    { type: 'addressed', addresses: ['h:0', 'h:1', 'h:2'] },
  ])
})

test('a ring of one links nothing', () => {
  const supervision = new RingSupervision([1], limits)
  supervision.onEvent({ type: 'begin' })
  const message = { event: 'listening', address: 'h:0' } as const
  expect(supervision.onEvent({ type: 'message', stage: 0, message })).toEqual([
    { type: 'addressed', addresses: ['h:0'] },
  ])
})

test('a worker that dies is started again at its old address and linked to its old neighbour', () => {
  const supervision = running(2)
  expect(supervision.onEvent(exited(1))).toEqual([
    { type: 'changed', stage: 1 },
    { type: 'wait', stage: 1, delayMs: 100 },
  ])
  expect(supervision.phases[1]).toEqual({ phase: 'restarting', reason: 'ended by SIGKILL', delayMs: 100 })
  expect(supervision.onEvent({ type: 'waited', stage: 1 })).toContainEqual({
    type: 'start',
    stage: 1,
    listen: '127.0.0.1:7001',
  })
  const message = { event: 'listening', address: '127.0.0.1:7001' } as const
  expect(supervision.onEvent({ type: 'message', stage: 1, message })).toEqual([
    { type: 'link', stage: 1, downstream: '127.0.0.1:7000' },
  ])
})

test('a worker that comes back elsewhere is told to the stage before it', () => {
  const supervision = running(3)
  supervision.onEvent(exited(0))
  supervision.onEvent({ type: 'waited', stage: 0 })
  const message = { event: 'listening', address: 'h:9' } as const
  expect(supervision.onEvent({ type: 'message', stage: 0, message })).toEqual([
    { type: 'link', stage: 0, downstream: '127.0.0.1:7001' },
    { type: 'link', stage: 2, downstream: 'h:9' },
  ])
})

test('a worker that dies too often is given up with its own last words', () => {
  const supervision = running(2)
  supervision.onEvent(exited(0, 0))
  supervision.onEvent(exited(0, 1))
  supervision.onEvent({ type: 'message', stage: 0, message: { event: 'failed', message: 'no memory' } })
  expect(supervision.onEvent(exited(0, 2))).toEqual([
    { type: 'changed', stage: 0 },
    { type: 'give-up', stage: 0, reason: 'no memory' },
  ])
})

test('a worker that never was ready is given up at once: starting it again would not help', () => {
  const supervision = new RingSupervision([1, 1], limits)
  supervision.onEvent({ type: 'begin' })
  expect(supervision.onEvent(exited(1))).toContainEqual({
    type: 'give-up',
    stage: 1,
    reason: 'ended by SIGKILL',
  })
})

test('an end that was asked for is no fault, and a wait that ends after it starts nothing', () => {
  const supervision = running(2)
  supervision.onEvent(exited(0))
  supervision.onEvent({ type: 'stopping' })
  expect(supervision.onEvent({ type: 'waited', stage: 0 })).toEqual([])
  expect(supervision.onEvent(exited(1))).toEqual([{ type: 'changed', stage: 1 }])
  expect(supervision.phases[1]).toEqual({ phase: 'stopped' })
})

test('however workers die, each end is answered by one wait or by giving up', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(2), fc.nat(4000)), { maxLength: 20 }), (ends) => {
      const supervision = running(3)
      let nowMs = 0
      for (const [stage, laterMs] of ends) {
        nowMs += laterMs
        const answers = supervision
          .onEvent(exited(stage, nowMs))
          .filter(({ type }) => type === 'wait' || type === 'give-up')
        expect(answers).toHaveLength(1)
        supervision.onEvent({ type: 'waited', stage })
        supervision.onEvent({ type: 'message', stage, message: { event: 'ready' } })
      }
    }),
  )
})

test('other ranks are linked to the first of their stage, and again when it has moved', () => {
  const supervision = new RingSupervision([2, 2], limits)
  const listening = (stage: number, address: string) =>
    supervision.onEvent({ type: 'message', stage, message: { event: 'listening', address } })
  listening(0, 'a:1')
  listening(1, 'rank:1')
  listening(3, 'rank:1')
  expect(listening(2, 'b:1')).toEqual([
    { type: 'link', stage: 0, downstream: 'b:1' },
    { type: 'link', stage: 1, downstream: 'a:1' },
    { type: 'link', stage: 2, downstream: 'a:1' },
    { type: 'link', stage: 3, downstream: 'b:1' },
    { type: 'addressed', addresses: ['a:1', 'b:1'] },
  ])
  expect(listening(3, 'rank:1')).toEqual([{ type: 'link', stage: 3, downstream: 'b:1' }])
  expect(listening(2, 'b:2')).toEqual([
    { type: 'link', stage: 2, downstream: 'a:1' },
    { type: 'link', stage: 0, downstream: 'b:2' },
    { type: 'link', stage: 3, downstream: 'b:2' },
  ])
})
