import { ringId, seededRandom } from '@deos/domain'
import { expect, test } from 'vitest'
import type { Link } from './link.ts'
import { LinkError } from './link-error.ts'
import { linkIdentity } from './link-identity.ts'
import { MemoryNetwork } from './memory-network.ts'
import { SupervisedLink } from './supervised-link.ts'
import { VirtualTimers } from './testing/virtual-timers.ts'

function world() {
  const timers = new VirtualTimers()
  const network = new MemoryNetwork({ latencyMs: [1, 1] }, timers, seededRandom(1))
  const identity = (peer: string) => linkIdentity('worker', peer, ringId('r'))
  const log: string[] = []
  const delays: number[] = []
  const supervised = new SupervisedLink(
    { address: 'b', firstDelayMs: 10, maxDelayMs: 100 },
    network.transport(identity('a'), 's'),
    timers,
    seededRandom(2),
    {
      onUp: (link) => log.push(`up ${link.peer}`),
      onMessage: (message) => log.push(message.type),
      onDown: (reason) => log.push(`down ${reason}`),
      onRetry: (error, delayMs) => {
        delays.push(delayMs)
        log.push(error instanceof LinkError ? error.code : 'retry')
      },
    },
  )
  const accepted: Link[] = []
  const listen = async () => {
    const transport = network.transport(identity('b'), 's')
    await transport.listen('b', (link) => {
      accepted.push(link)
      link.send({ type: 'close', epoch: 1, key: 1 })
      return { onMessage: () => {}, onClose: () => {} }
    })
    return transport
  }
  return { timers, network, log, delays, supervised, accepted, listen }
}

test('attempts grow rarer up to the ceiling, with jitter', async () => {
  const { timers, delays, supervised } = world()
  supervised.start()
  await timers.runUntil(2_000)
  expect(delays.length).toBeGreaterThan(15)
  expect(delays[0]).toBeLessThanOrEqual(20)
  for (const delay of delays.slice(5)) {
    expect(delay).toBeGreaterThanOrEqual(50)
    expect(delay).toBeLessThanOrEqual(100)
  }
  expect(new Set(delays.slice(5)).size).toBeGreaterThan(3)
})

test('a link comes up when the peer does, and again after it was lost', async () => {
  const { timers, network, log, supervised, listen } = world()
  supervised.start()
  await timers.runUntil(50)
  expect(supervised.link).toBeNull()
  await listen()
  await timers.runUntil(500)
  expect(supervised.link?.peer).toBe('b')
  network.connections[0]!.cut('cable pulled')
  await timers.runUntil(1_000)
  expect(supervised.link?.peer).toBe('b')
  expect(log.filter((entry) => entry !== 'LINK_REFUSED')).toEqual([
    'up b',
    'close',
    'down cable pulled',
    'retry',
    'up b',
    'close',
  ])
})

test('after stop nothing is dialled and nobody is called', async () => {
  const { timers, log, supervised, accepted, listen } = world()
  await listen()
  supervised.start()
  await timers.runUntil(100)
  supervised.stop()
  const before = log.length
  await timers.runUntil(5_000)
  expect(log).toHaveLength(before)
  expect(accepted).toHaveLength(1)
  expect(supervised.link).toBeNull()
})

test('stopping while a link is being made leaves none behind', async () => {
  const { timers, network, log, supervised, listen } = world()
  await listen()
  supervised.start()
  await timers.runUntil(2)
  supervised.stop()
  await timers.runUntil(1_000)
  expect(log).toEqual([])
  expect(network.connections).toEqual([])
})
