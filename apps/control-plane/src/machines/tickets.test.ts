import { createHmac } from 'node:crypto'
import { machineId } from '@deos/domain'
import { expect, test } from 'vitest'
import { ticketBetween } from './tickets.ts'

const secret = Buffer.alloc(32, 7)
const [reader, target] = [machineId('machine-1'), machineId('machine-2')]

test('a ticket names both machines and its end, and its key follows from the secret of the target', () => {
  const { ticket, ticketKey } = ticketBetween(reader, target, secret, 1_000)
  expect(ticket).toBe('machine-1.machine-2.7200000')
  expect(ticketKey).toBe(createHmac('sha256', secret).update(ticket).digest('hex'))
})

test('tickets of one hour are alike and last another hour at least', () => {
  const first = ticketBetween(reader, target, secret, 0)
  expect(ticketBetween(reader, target, secret, 3_599_999)).toEqual(first)
  expect(ticketBetween(reader, target, secret, 3_600_000).ticket).toBe('machine-1.machine-2.10800000')
})
