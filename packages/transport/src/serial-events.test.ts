import { expect, test } from 'vitest'
import { SerialEvents } from './serial-events.ts'

test('events that an event causes come after it, in order', () => {
  const log: string[] = []
  const events = new SerialEvents<string>((event) => {
    log.push(`${event} begins`)
    if (event === 'a') {
      events.push('b')
      events.push('c')
    }
    log.push(`${event} ends`)
  })
  events.push('a')
  expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
})

test('an event that fails does not keep the next from being handled', () => {
  const handled: number[] = []
  const events = new SerialEvents<number>((event) => {
    if (event === 1) throw new Error('bad')
    handled.push(event)
  })
  expect(() => events.push(1)).toThrow('bad')
  events.push(2)
  expect(handled).toEqual([2])
})
