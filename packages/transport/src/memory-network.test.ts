import { ringId, seededRandom } from '@deos/domain'
import { expect, test } from 'vitest'
import { linkIdentity } from './link-identity.ts'
import { MemoryNetwork } from './memory-network.ts'
import { describeTransport } from './testing/describe-transport.ts'
import { VirtualTimers } from './testing/virtual-timers.ts'
import { systemTimers } from './timers.ts'

describeTransport('memory', () => {
  const network = new MemoryNetwork({ latencyMs: [0, 2] }, systemTimers, seededRandom(1))
  return {
    create: (identity, secret, limits) => network.transport(identity, secret, limits),
    address: 'server',
    deadAddress: 'nobody',
    connectRaw: (address) => Promise.resolve(network.connectRaw(address, 'right')),
    dispose: () => Promise.resolve(),
  }
})

const world = async () => {
  const timers = new VirtualTimers()
  const network = new MemoryNetwork({ latencyMs: [1, 5] }, timers, seededRandom(7))
  const log: string[] = []
  const handlers = (name: string) => ({
    onMessage: (message: { type: string }) => log.push(`${name} ${message.type} at ${timers.now()}`),
    onClose: (reason: string) => log.push(`${name} closed: ${reason}`),
  })
  const identity = (peer: string) => linkIdentity('worker', peer, ringId('r'))
  await network.transport(identity('b'), 's').listen('b', () => handlers('b'))
  const connecting = network.transport(identity('a'), 's').connect('b', handlers('a'))
  await timers.runUntil(20)
  return { timers, network, log, link: await connecting }
}

test('a cut loses what is under way and tells both ends', async () => {
  const { timers, network, log, link } = await world()
  link.send({ type: 'close', epoch: 1, key: 1 })
  network.connections[0]!.cut('cable pulled')
  await timers.runUntil(100)
  expect(log.toSorted()).toEqual(['a closed: cable pulled', 'b closed: cable pulled'])
  expect(network.connections).toEqual([])
})

test('a silenced link swallows messages and tells nobody for a while', async () => {
  const { timers, network, log, link } = await world()
  network.connections[0]!.silence()
  expect(link.send({ type: 'close', epoch: 1, key: 1 })).toBe(true)
  await timers.runUntil(1_000)
  expect(log).toEqual([])
  await timers.runUntil(10_000)
  expect(log, 'until each end misses the heartbeat').toHaveLength(2)
})

test('the same seed delivers at the same times', async () => {
  const run = async () => {
    const { timers, log, link } = await world()
    for (let key = 0; key < 20; key++) link.send({ type: 'close', epoch: 1, key })
    await timers.runUntil(100)
    return log
  }
  const first = await run()
  expect(first).toHaveLength(20)
  expect(await run()).toEqual(first)
})
