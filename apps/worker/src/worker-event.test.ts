import { expect, test } from 'vitest'
import { parseWorkerEvent, type WorkerEvent } from './worker-event.ts'

const load = {
  event: 'load',
  activeSessions: 2,
  kvUsedTokens: 48,
  busyFraction: 0.25,
  generatedTokens: 7,
  nextRoundTripMs: null,
  nextPath: null,
} as const

test.each<WorkerEvent>([
  { event: 'listening', address: '127.0.0.1:41001' },
  { event: 'loading', doneBytes: 1, totalBytes: 2 },
  { event: 'ready', device: 'CPU', enginePid: 7 },
  { event: 'engine-lost', reason: 'signal 6' },
  { event: 'failed', message: 'no memory' },
  load,
])('reads $event as it was sent', (event) => {
  expect(parseWorkerEvent(JSON.stringify(event))).toEqual(event)
})

test.each([
  '',
  'warning: something',
  '[]',
  'null',
  '{"event":"listening"}',
  '{"event":"loading","doneBytes":"1","totalBytes":2}',
  '{"event":"dancing"}',
  JSON.stringify({ ...load, busyFraction: 1.5 }),
  JSON.stringify({ ...load, activeSessions: -1 }),
])('takes %j for no event', (line) => {
  expect(parseWorkerEvent(line)).toBeNull()
})
