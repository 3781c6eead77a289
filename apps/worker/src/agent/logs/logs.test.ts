import { expect, test } from 'vitest'
import { LogShipper } from './log-shipper.ts'
import { readStageLogLine } from './stage-log-line.ts'

const now = () => new Date('2026-01-05T09:30:00Z')
const line = (message: string) => ({ level: 'warn', stageId: 'stage-1', message }) as const

test('lines wait until they are sent, in order', () => {
  const shipper = new LogShipper({ mostWaiting: 10, mostAtOnce: 2 }, now)
  for (const message of ['a', 'b', 'c']) shipper.add(line(message))
  const first = shipper.next()
  expect(first.map(({ message }) => message)).toEqual(['a', 'b'])
  expect(first[0]).toEqual({ ...line('a'), at: '2026-01-05T09:30:00.000Z' })
  expect(shipper.next()).toEqual(first)
  shipper.sent(first)
  expect(shipper.next().map(({ message }) => message)).toEqual(['c'])
  shipper.sent(shipper.next())
  expect(shipper.isEmpty).toBe(true)
})

test('too many lines cost the oldest, and that is told', () => {
  const shipper = new LogShipper({ mostWaiting: 3, mostAtOnce: 10 }, now)
  for (let index = 0; index < 8; index += 1) shipper.add(line(`${index}`))
  const [notice, ...rest] = shipper.next()
  expect(notice!.message).toMatch(/^5 older lines/)
  expect(rest.map(({ message }) => message)).toEqual(['5', '6', '7'])
})

test('secrets stay here', () => {
  const shipper = new LogShipper({ mostWaiting: 3, mostAtOnce: 10 }, now)
  shipper.hide(['5e5e'])
  shipper.add(line('secret 5e5e and token deos_m_abcdefghij, again 5e5e'))
  expect(shipper.next()[0]!.message).toBe('secret [redacted] and token [redacted], again [redacted]')
  shipper.add(line('x'.repeat(5000)))
  expect(shipper.next()[1]!.message).toHaveLength(4000)
})

test.each([
  ['{"level":"warn","msg":"Again."}', { level: 'warn', message: 'Again.' }],
  ['{"level":"fatal","msg":"No.","err":{"message":"Why"}}', { level: 'error', message: 'No. Why' }],
  ['{"level":"error","msg":"Lost.","reason":"signal 6"}', { level: 'error', message: 'Lost. signal 6' }],
  ['{"level":"info","msg":"Loaded."}', null],
  ['ggml: something', null],
  ['{"level":30}', null],
])('of %s others hear %j', (text, expected) => {
  expect(readStageLogLine(text)).toEqual(expected)
})
