import { sessionId } from '@deos/domain'
import type { KvAck, KvBlock } from '@deos/protocol'
import { expect, test } from 'vitest'
import { AckedGoodput } from './acked-goodput.ts'

const session = sessionId('s')
const block = (index: number, sizeBytes = 10_000): KvBlock => ({
  ...{
    type: 'kv-block',
    epoch: 1,
    session,
    block: index,
    layer: 0,
    part: 0,
    level: 0,
    basis: 0,
    checksum: 0,
  },
  bytes: new Uint8Array(sizeBytes),
})
const ack = (...indices: readonly number[]): KvAck => ({
  ...{ type: 'kv-ack', epoch: 1, session },
  verdicts: indices.map((index) => ({ block: index, layer: 0, part: 0, level: 0, stored: true })),
})

test('blocks one behind the other take the time between their answers', () => {
  const goodput = new AckedGoodput()
  for (const index of [0, 1, 2, 3]) goodput.sent('d', block(index), 0)
  // 100 ms there and back, 10 ms each.
  for (const index of [0, 1, 2]) goodput.acked('d', ack(index), 100 + 10 * index)
  expect(goodput.of('d')).toBeNull()
  goodput.acked('d', ack(3), 130)
  expect(goodput.of('d')).toBe(1_000_000)
  expect(goodput.of('e')).toBeNull()
})

test('a pause is not counted, nor a block that was answered before, or is lost with its link', () => {
  const goodput = new AckedGoodput()
  for (const index of [0, 1, 2, 3]) {
    goodput.sent('d', block(index), 1_000 * index)
    goodput.acked('d', ack(index), 1_000 * index + 20)
    goodput.acked('d', ack(index), 1_000 * index + 21)
  }
  expect(goodput.of('d')).toBe(500_000)
  goodput.sent('d', block(4), 5_000)
  goodput.lost('d')
  goodput.acked('d', ack(4), 5_001)
  expect(goodput.of('d')).toBe(500_000)
})

test('answers to several blocks at once count them together, and small ones say nothing', () => {
  const goodput = new AckedGoodput()
  for (let round = 0; round < 4; round += 1) {
    for (const index of [0, 1]) goodput.sent('d', block(2 * round + index), 100 * round)
    goodput.acked('d', ack(2 * round, 2 * round + 1), 100 * round + 40)
    goodput.sent('d', block(100 + round, 100), 100 * round + 50)
    goodput.acked('d', ack(100 + round), 100 * round + 50.1)
  }
  expect(goodput.of('d')).toBe(500_000)
})

test('what is long ago is forgotten', () => {
  const goodput = new AckedGoodput()
  for (let index = 0; index < 40; index += 1) {
    goodput.sent('d', block(index), 100 * index)
    goodput.acked('d', ack(index), 100 * index + (index < 20 ? 1 : 50))
  }
  expect(goodput.of('d')).toBe(200_000)
})

test('blocks of a session that is over are not waited for', () => {
  const goodput = new AckedGoodput()
  for (const index of [0, 1]) goodput.sent('d', block(index), 0)
  goodput.sent('d', { ...block(0), session: sessionId('other') }, 0)
  goodput.over(session)
  expect(goodput.waiting).toBe(1)
})
