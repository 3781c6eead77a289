import { expect, test } from 'vitest'
import { Alarm, Backoff, pause } from './pause.ts'

test('waits double up to the longest, spread over their second half, and start anew after a success', () => {
  const numbers = [0, 1, 0.5, 0, 0]
  const backoff = new Backoff(100, 300, { next: () => numbers.shift()! })
  expect([backoff.failed(), backoff.failed(), backoff.failed(), backoff.failed()]).toEqual([
    50, 200, 225, 150,
  ])
  backoff.succeeded()
  expect(backoff.failed()).toBe(50)
})

test('an aborted pause ends at once', async () => {
  const abort = new AbortController()
  const paused = pause(3_600_000, abort.signal)
  abort.abort()
  await paused
  await pause(3_600_000, abort.signal)
})

test('an alarm ends the wait of now or, if nobody waits, the next one, and only that', async () => {
  const alarm = new Alarm()
  const { signal } = new AbortController()
  const waiting = alarm.wait(3_600_000, signal)
  alarm.ring()
  await waiting
  alarm.ring()
  alarm.ring()
  await alarm.wait(3_600_000, signal)
  let over = false
  const later = alarm.wait(3_600_000, signal).then(() => {
    over = true
  })
  await new Promise(setImmediate)
  expect(over).toBe(false)
  alarm.ring()
  await later
})
