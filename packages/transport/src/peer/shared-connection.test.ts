import { ringId } from '@deos/domain'
import { encodeMessage, type Message } from '@deos/protocol'
import { afterEach, expect, test, vi } from 'vitest'
import type { Link } from '../link.ts'
import { helloOf, linkIdentity } from '../link-identity.ts'
import { ringKey } from '../ring-secret.ts'
import { rawMachine } from '../testing/raw-peer.ts'
import { passingKey } from './machine-key.ts'
import { PeerNode } from './peer-node.ts'
import type { PeerTransport } from './peer-transport.ts'

const secret = new Uint8Array(32).fill(1)
const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

const ringOn = (node: PeerNode, name: string, peer: string): PeerTransport => {
  const transport = node.transport({ identity: linkIdentity('worker', peer, ringId(name)), secret })
  stops.push(() => transport.stop())
  return transport
}
const bulk = (sizeBytes: number, number: number): Message => ({
  ...{ type: 'step', epoch: 1, step: number, times: [] },
  entries: [{ key: 1, position: 0, count: 1, sample: true, pages: [] }],
  hidden: new Uint8Array(sizeBytes),
})
const close = (key: number): Message => ({ type: 'close', epoch: 1, key })

test('many rings share one connection, and the end of one leaves the others', async () => {
  const [near, far] = [new PeerNode({ key: passingKey() }), new PeerNode({ key: passingKey() })]
  const received = new Map<string, Message[]>()
  const links: Link[] = []
  let address = ''
  for (const name of ['r1', 'r2', 'r3']) {
    const messages: Message[] = []
    received.set(name, messages)
    const own = await ringOn(far, name, 'far').listen('127.0.0.1:0', () => ({
      onMessage: (message) => messages.push(message),
      onClose: () => {},
    }))
    address ||= own
    links.push(await ringOn(near, name, 'near').connect(address, { onMessage: () => {}, onClose: () => {} }))
  }
  expect(near.connections).toHaveLength(1)
  links[0]!.close()
  links[1]!.send(close(1))
  links[2]!.send(close(2))
  await vi.waitFor(() => expect(received.get('r3')).toEqual([close(2)]))
  expect(received.get('r2')).toEqual([close(1)])
  expect(near.connections).toHaveLength(1)
  await vi.waitFor(() => expect(links[1]!.estimates.roundTripMs).not.toBeNull())
  expect(links[1]!.path).toBe('direct')
})

test('a link that waits for a hello when its ring stops does not come about later', async () => {
  const far = new PeerNode({ key: passingKey() })
  const links: string[] = []
  const stopping = ringOn(far, 'stopping', 'far')
  const listener = (link: Link) => {
    links.push(link.peer)
    return { onMessage: () => {}, onClose: () => {} }
  }
  const address = await stopping.listen('127.0.0.1:0', listener)
  await ringOn(far, 'staying', 'far').listen('127.0.0.1:0', listener)
  const machine = await rawMachine(address)
  stops.push(async () => machine.destroy())
  machine.open(1, 'stopping', ringKey(secret, ringId('stopping')))
  await vi.waitFor(() => expect(machine.heard.map(({ kind }) => kind)).toContain('accept'))
  await stopping.stop()
  const hello = encodeMessage(helloOf(linkIdentity('gateway', 'late', ringId('stopping'))))
  machine.chunk('data', 1, Buffer.concat(hello))
  await vi.waitFor(() => expect(machine.heard.map(({ kind }) => kind)).toContain('close'))
  expect(links).toEqual([])
})

test('a token overtakes a block of KV that is under way', async () => {
  const [near, far] = [new PeerNode({ key: passingKey() }), new PeerNode({ key: passingKey() })]
  const order: string[] = []
  const address = await ringOn(far, 'r', 'far').listen('127.0.0.1:0', () => ({
    onMessage: (message) => order.push(message.type),
    onClose: () => {},
  }))
  const link = await ringOn(near, 'r', 'near').connect(address, { onMessage: () => {}, onClose: () => {} })
  link.send(bulk(32 * 2 ** 20, 1), 'weights')
  link.send(bulk(8 * 2 ** 20, 2), 'kv')
  link.send(bulk(4, 3), 'activations')
  link.send(close(1), 'control')
  await vi.waitFor(() => expect(order).toHaveLength(4), { timeout: 10_000 })
  expect(order).toEqual(['close', 'step', 'step', 'step'])
  expect(link.estimates.bytesPerSecond).toBeGreaterThan(0)
})

test('a reader that grants no credit for one link holds up no other link of the connection', async () => {
  const far = new PeerNode({ key: passingKey() })
  const address = await ringOn(far, 'held', 'far').listen('127.0.0.1:0', (link) => {
    for (let number = 0; number < 12; number++) link.send(bulk(2 ** 20, number))
    return { onMessage: () => {}, onClose: () => {} }
  })
  const free: string[] = []
  ringOn(far, 'free', 'far').listen('127.0.0.1:0', (link) => {
    free.push(link.peer)
    link.send(close(1))
    return { onMessage: () => {}, onClose: () => {} }
  })
  const machine = await rawMachine(address)
  stops.push(async () => machine.destroy())
  const hello = (ring: string) =>
    Buffer.concat(encodeMessage(helloOf(linkIdentity('gateway', 'raw', ringId(ring)))))
  machine.hold()
  machine.open(1, 'held', ringKey(secret, ringId('held')))
  machine.chunk('data', 1, hello('held'))
  const window = 8 * 2 ** 20
  await vi.waitFor(() => expect(machine.dataBytes()).toBeGreaterThan(100_000))
  machine.open(3, 'free', ringKey(secret, ringId('free')))
  machine.chunk('data', 3, hello('free'))
  await vi.waitFor(() => expect(free).toEqual(['raw']))
  const before = machine.dataBytes()
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(machine.dataBytes(), 'never more than the window').toBeLessThan(window + before)
})
