import { expect, test } from 'vitest'
import { parseWorkerMessage } from './worker-message.ts'

test.each([
  ['{"event":"listening","address":"127.0.0.1:41001"}', { event: 'listening', address: '127.0.0.1:41001' }],
  ['{"event":"loading","doneBytes":1,"totalBytes":2}', { event: 'loading', doneBytes: 1, totalBytes: 2 }],
  ['{"event":"ready","device":"CPU","enginePid":7}', { event: 'ready' }],
  ['{"event":"engine-lost","reason":"signal 6"}', { event: 'engine-lost', reason: 'signal 6' }],
  ['{"event":"failed","message":"no memory"}', { event: 'failed', message: 'no memory' }],
])('reads %s', (line, message) => {
  expect(parseWorkerMessage(line)).toEqual(message)
})

test.each([
  '',
  'warning: something',
  '[]',
  'null',
  '{"event":"listening"}',
  '{"event":"loading","doneBytes":"1","totalBytes":2}',
  '{"event":"dancing"}',
])('takes %j for no message', (line) => {
  expect(parseWorkerMessage(line)).toBeNull()
})
