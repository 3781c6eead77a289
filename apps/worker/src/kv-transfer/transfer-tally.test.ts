import { expect, test } from 'vitest'
import { TransferTally } from './transfer-tally.ts'

test('blocks are counted by session, those that moved before apart, and told once', () => {
  const tally = new TransferTally<string>()
  const block = { block: 1, layer: 2, part: 0, level: 0 }
  tally.add('a', block, 10)
  tally.add('a', { ...block, level: 1 }, 5)
  tally.add('a', block, 10)
  tally.add('b', block, 7)
  expect(tally.take('a')).toEqual({ blocks: 3, again: 1, bytes: 25 })
  expect(tally.take('a')).toBeNull()
  expect(tally.take('b')).toEqual({ blocks: 1, again: 0, bytes: 7 })
})
