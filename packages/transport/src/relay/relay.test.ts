import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { ringId } from '@deos/domain'
import type { Message } from '@deos/protocol'
import { afterEach, expect, test, vi } from 'vitest'
import { type Dial, dialTcp } from '../dial.ts'
import { LinkError } from '../link-error.ts'
import { linkIdentity } from '../link-identity.ts'
import { passingKey } from '../peer/machine-key.ts'
import { parsePeerAddress } from '../peer/peer-address.ts'
import { newCircuitName, PeerNode } from '../peer/peer-node.ts'
import { secureStream } from '../peer/secure-stream.ts'
import { parseTcpAddress } from '../tcp-address.ts'
import { defaultRelayLimits, Relay, type RelayLimits } from './relay.ts'
import { askCircuit } from './relay-client.ts'

const secret = new Uint8Array(32).fill(1)
const ends: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

async function relayed(
  changed: Partial<RelayLimits> = {},
  isMember: (key: string) => boolean = () => true,
  host = '127.0.0.1',
) {
  const limits = { ...defaultRelayLimits, ...changed }
  const relay = new Relay({ key: passingKey(), host, port: 0, isMember, limits })
  const address = await relay.start()
  ends.push(() => relay.stop())
  return { relay, address }
}

const machine = (punches: boolean, peer: string, dial: Dial = dialTcp) => {
  const node = new PeerNode({ key: passingKey(), punches, dial })
  const transport = node.transport({ identity: linkIdentity('worker', peer, ringId('r')), secret })
  ends.push(() => transport.stop())
  return { node, transport }
}

/** Where two that dial each other at once meet, as they would between their NATs; loopback lets no packets cross. */
async function crossing(): Promise<Dial> {
  let waiting: Socket | null = null
  const server = createServer((socket) => {
    socket.on('error', () => {})
    if (waiting === null) {
      waiting = socket
      return
    }
    socket.pipe(waiting)
    waiting.pipe(socket)
    waiting = null
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  ends.push(() => server.close())
  const { port } = server.address() as AddressInfo
  return (address, options) => {
    const { localPort, ...rest } = options
    return localPort ? dialTcp(`127.0.0.1:${port}`, rest) : dialTcp(address, options)
  }
}

const step = (number: number): Message => ({
  ...{ type: 'step', epoch: 1, step: number, times: [] },
  entries: [{ key: 1, position: 0, count: 1, sample: true, pages: [] }],
  hidden: new Uint8Array(4 * 1024 * (number % 40)),
})

test('a link moves from the relay to a direct path without losing a message', async () => {
  const { relay, address } = await relayed()
  const dial = await crossing()
  const near = machine(true, 'near', dial)
  const far = machine(true, 'far', dial)
  const [there, here]: number[][] = [[], []]
  await far.transport.listen('127.0.0.1:0', (link) => {
    let number = 0
    const timer = setInterval(() => link.send(step(number++)), 1)
    return {
      onMessage: (message) => message.type === 'step' && there!.push(message.step),
      onClose: () => clearInterval(timer),
    }
  })
  const own = await far.node.waitAt(address)
  const link = await near.transport.connect(own, {
    onMessage: (message) => message.type === 'step' && here!.push(message.step),
    onClose: () => {},
  })
  expect(link.path).toBe('relayed')
  expect(relay.counts).toMatchObject({ names: 1, circuits: 1 })
  let sent = 0
  await vi.waitFor(
    () => {
      for (let burst = 0; burst < 20; burst++) link.send(step(sent++))
      expect([link.path, far.node.connections[0]!.path]).toEqual(['punched', 'punched'])
    },
    { timeout: 5_000, interval: 2 },
  )
  for (let burst = 0; burst < 20; burst++) link.send(step(sent++))
  const numbers = (count: number): number[] => Array.from({ length: count }, (_, number) => number)
  await vi.waitFor(() => expect(there).toEqual(numbers(sent)))
  await vi.waitFor(() => expect(relay.counts).toMatchObject({ names: 1, circuits: 0 }))
  const passed = relay.passedBytes
  await vi.waitFor(() => expect(here!.length).toBeGreaterThan(50))
  expect(here).toEqual(numbers(here!.length))
  expect(relay.passedBytes).toBe(passed)
  expect(there!.length).toBe(sent)
})

test('nobody looks for a direct way of a connection that has ended', async () => {
  const { address } = await relayed()
  const signals: (AbortSignal | undefined)[] = []
  const dial: Dial = (at, options) => {
    if (!options.localPort) return dialTcp(at, options)
    signals.push(options.signal)
    return new Promise((_, reject) => {
      options.signal?.addEventListener('abort', () =>
        reject(new LinkError('LINK_ABORTED', 'It was given up.')),
      )
    })
  }
  const far = machine(true, 'far', dial)
  const near = machine(true, 'near', dial)
  await far.transport.listen('127.0.0.1:0', () => ({ onMessage: () => {}, onClose: () => {} }))
  const own = await far.node.waitAt(address)
  await near.transport.connect(own, { onMessage: () => {}, onClose: () => {} })
  await vi.waitFor(() => expect(signals).toHaveLength(2))
  await near.transport.stop()
  await vi.waitFor(() => expect(signals.map((signal) => signal?.aborted)).toEqual([true, true]))
})

test('a machine that is not known finds no place, and says why', async () => {
  const { address } = await relayed({}, () => false)
  const stranger = machine(false, 'stranger')
  await expect(stranger.node.waitAt(address)).rejects.toMatchObject({
    code: 'LINK_UNREACHABLE',
    message: expect.stringContaining('not known'),
  })
})

test('a machine that is removed is found no more, and loses its place when it says next that it lives', async () => {
  let isMember = true
  const { relay, address } = await relayed({}, () => isMember)
  const [removed, other] = [machine(false, 'removed'), machine(false, 'other')]
  const waits = await removed.node.waitAt(address)
  const { at, key: expected } = parsePeerAddress(address)
  const raw = createConnection(parseTcpAddress(at))
  ends.push(() => raw.destroy())
  const own = { key: passingKey(), side: 'dialler', expected, timeoutMs: 5_000, name: at } as const
  const { stream } = await secureStream(raw, own)
  const gone = new Promise<void>((resolve) => stream.once('close', () => resolve()))
  stream.write(`wait ${newCircuitName()}\n`)
  await vi.waitFor(() => expect(relay.counts.names).toBe(2))
  isMember = false
  await expect(
    other.transport.connect(waits, { onMessage: () => {}, onClose: () => {} }),
  ).rejects.toMatchObject({ code: 'LINK_REFUSED' })
  expect(relay.counts.names).toBe(2)
  stream.resume()
  stream.write('\n')
  await gone
  await vi.waitFor(() => expect(relay.counts.names).toBe(1))
})

test('nobody else takes a name, and a machine takes no more than it may', async () => {
  const { address } = await relayed({ namesPerMachine: 1 })
  const [first, second] = [machine(false, 'first'), machine(false, 'second')]
  const own = await first.node.waitAt(address)
  const { circuit } = parsePeerAddress(own)
  await expect(second.node.waitAt(address, circuit!)).rejects.toThrow('another machine has this name')
  await expect(first.node.waitAt(address)).rejects.toThrow('1 names already')
  await first.node.waitAt(address, circuit!)
})

test('the relay must have the key that it is known by', async () => {
  const { address } = await relayed()
  const { at } = parsePeerAddress(address)
  const wrong = `${at};key=${passingKey().publicKey}`
  await expect(machine(false, 'a').node.waitAt(wrong)).rejects.toMatchObject({ code: 'LINK_KEY' })
})

test('circuits are limited for each machine, and an unanswered one ends in time', async () => {
  const { relay, address } = await relayed({ circuitsPerMachine: 1, handshakeMs: 200 })
  const far = machine(false, 'far')
  await far.transport.listen('127.0.0.1:0', () => ({ onMessage: () => {}, onClose: () => {} }))
  const own = await far.node.waitAt(address)
  const { at, circuit } = parsePeerAddress(own)
  const first = await askCircuit(dialTcp, at, circuit!, 1_000)
  await expect(askCircuit(dialTcp, at, circuit!, 1_000)).rejects.toThrow('too many circuits')
  first.stream.destroy()
  await vi.waitFor(() => expect(relay.counts.circuits).toBe(0))
  const near = machine(false, 'near')
  const link = await near.transport.connect(own, { onMessage: () => {}, onClose: () => {} })
  expect(link.path).toBe('relayed')
})

test('connections that say nothing, or nonsense, or not enough are dropped', async () => {
  const { address } = await relayed({ handshakeMs: 100 })
  const target = parseTcpAddress(parsePeerAddress(address).at)
  const greetings = ['', '\x16', 'GET / HTTP/1.1\r\n\r\n', 'DEOS-CIRCUIT 1 ', 'x'.repeat(5000)]
  await Promise.all(
    greetings.map((greeting) => {
      const socket = createConnection(target, () => socket.write(greeting, 'latin1'))
      socket.on('error', () => {})
      socket.resume()
      return new Promise<void>((resolve) => socket.once('close', () => resolve()))
    }),
  )
})

test('who is refused and does not hang up is cut off all the same', async () => {
  const { relay, address } = await relayed({}, () => false)
  const { at } = parsePeerAddress(address)
  const target = parseTcpAddress(at)
  for (const question of [`connect ${'a'.repeat(20)}`, `accept ${'a'.repeat(24)}`]) {
    const socket = createConnection({ ...target, allowHalfOpen: true })
    ends.push(() => socket.destroy())
    socket.on('error', () => {})
    socket.resume()
    socket.write(`DEOS-CIRCUIT 1 ${question}\n`)
    await new Promise<void>((resolve) => socket.once('end', () => resolve()))
  }
  const raw = createConnection({ ...target, allowHalfOpen: true })
  ends.push(() => raw.destroy())
  const own = { key: passingKey(), side: 'dialler', expected: null, timeoutMs: 5_000, name: at } as const
  const { stream } = await secureStream(raw, own)
  stream.write(`wait ${'a'.repeat(20)}\n`)
  await vi.waitFor(() => expect(relay.counts.connections).toBe(0))
})

test('one address leaves handshakes to others, however many it begins', async () => {
  const { relay, address } = await relayed({ handshakesPerAddress: 4 })
  const target = parseTcpAddress(parsePeerAddress(address).at)
  const far = machine(false, 'far')
  await far.transport.listen('127.0.0.1:0', () => ({ onMessage: () => {}, onClose: () => {} }))
  await far.node.waitAt(address)
  let ended = 0
  for (let count = 0; count < 20; count++) {
    const socket = createConnection(target)
    ends.push(() => socket.destroy())
    socket.on('error', () => {})
    socket.on('close', () => {
      ended += 1
    })
    socket.resume()
  }
  await vi.waitFor(() => expect(ended).toBe(16))
  expect(relay.counts).toMatchObject({ names: 1, connections: 5 })
})

const hasIpv6 = Object.values(networkInterfaces()).some((each) =>
  each?.some(({ address }) => address === '::1'),
)
test.skipIf(!hasIpv6)('a relay at an IPv6 address is reached from both sides', async () => {
  const { address } = await relayed({}, () => true, '::1')
  const far = machine(false, 'far')
  await far.transport.listen('127.0.0.1:0', () => ({ onMessage: () => {}, onClose: () => {} }))
  const own = await far.node.waitAt(address)
  const near = machine(false, 'near')
  const link = await near.transport.connect(own, { onMessage: () => {}, onClose: () => {} })
  expect(link.path).toBe('relayed')
})

test('a circuit is no faster than its machine may be', async () => {
  const { relay, address } = await relayed({ bytesPerSecond: 256 * 1024 })
  const far = machine(false, 'far')
  let received = 0
  await far.transport.listen('127.0.0.1:0', () => ({
    onMessage: () => {
      received += 1
    },
    onClose: () => {},
  }))
  const own = await far.node.waitAt(address)
  const near = machine(false, 'near')
  const link = await near.transport.connect(own, { onMessage: () => {}, onClose: () => {} })
  for (let number = 0; number < 8; number++)
    link.send({ ...step(1), hidden: new Uint8Array(128 * 1024) } as Message)
  await vi.waitFor(() => expect(received).toBeGreaterThan(0))
  expect(relay.passedBytes).toBeLessThan(900 * 1024)
})

test('a machine takes its place again when the relay was away', async () => {
  const key = passingKey()
  const options = { key, host: '127.0.0.1', isMember: () => true }
  const before = new Relay({ ...options, port: 0 })
  const address = await before.start()
  const far = machine(false, 'far')
  await far.transport.listen('127.0.0.1:0', () => ({ onMessage: () => {}, onClose: () => {} }))
  const own = await far.node.waitAt(address)
  await before.stop()
  const { port } = parseTcpAddress(parsePeerAddress(address).at)
  const after = new Relay({ ...options, port })
  await after.start()
  ends.push(() => after.stop())
  const near = machine(false, 'near')
  await vi.waitFor(() => near.transport.connect(own, { onMessage: () => {}, onClose: () => {} }), {
    timeout: 5_000,
    interval: 100,
  })
})
