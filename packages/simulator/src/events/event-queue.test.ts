import { seededRandom } from '@deos/domain'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { EventQueue } from './event-queue.ts'

test('events come in order of time, and in the order pushed where times are equal', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 200 }), (times) => {
      const queue = new EventQueue()
      for (const [index, time] of times.entries()) queue.push(time, index % 3, index)
      const taken: number[] = []
      while (queue.take()) taken.push(queue.subject)
      const wanted = times.map((_, index) => index).sort((a, b) => times[a]! - times[b]! || a - b)
      expect(taken).toEqual(wanted)
    }),
    { seed: 1 },
  )
})

test('pushing while taking keeps the order, past the first capacity', () => {
  const queue = new EventQueue()
  const random = seededRandom(5)
  for (let index = 0; index < 3000; index += 1) queue.push(random.next() * 100, 0, index)
  let last = 0
  for (let index = 0; index < 20_000; index += 1) {
    expect(queue.take()).toBe(true)
    expect(queue.timeMs).toBeGreaterThanOrEqual(last)
    last = queue.timeMs
    queue.push(last + random.next() * 100, 1, index)
  }
  expect(queue.length).toBe(3000)
})

test('nothing happens in the past, and a time is a number', () => {
  const queue = new EventQueue()
  queue.push(5, 0, 0)
  queue.take()
  expect(() => queue.push(4, 0, 0)).toThrow('4 ms is before now, 5 ms.')
  expect(() => queue.push(Number.NaN, 0, 0)).toThrow(RangeError)
})
