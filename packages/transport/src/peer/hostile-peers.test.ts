import { createConnection, createServer } from 'node:net'
import { ringId } from '@deos/domain'
import { encodeMessage, type Message } from '@deos/protocol'
import fc from 'fast-check'
import { afterEach, expect, test, vi } from 'vitest'
import { type LinkError, type LinkLimits, linkIdentity, parseTcpAddress } from '../index.ts'
import { helloOf } from '../link-identity.ts'
import { defaultLinkLimits } from '../link-limits.ts'
import { joinParts } from '../outgoing-frame.ts'
import { ringKey } from '../ring-secret.ts'
import { type RawMachine, rawMachine } from '../testing/raw-peer.ts'
import { CHUNK_BYTES, ChunkReader, chunkHeader } from './chunk.ts'
import { passingKey } from './machine-key.ts'
import { formatPeerAddress, parsePeerAddress } from './peer-address.ts'
import { PeerNode } from './peer-node.ts'
import { ringProof } from './ring-proof.ts'
import { secureStream } from './secure-stream.ts'

const ring = ringId('ring-1')
const secret = new Uint8Array(32).fill(1)
const secretKey = ringKey(secret, ring)
const ends: (() => Promise<unknown> | unknown)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const hello = (peer: string, role: 'gateway' | 'guest' = 'gateway'): Uint8Array => {
  const parts = encodeMessage(helloOf(linkIdentity(role, peer, ring)))
  return joinParts(
    parts,
    parts.reduce((sum, part) => sum + part.length, 0),
  )
}
const close = (key: number): Message => ({ type: 'close', epoch: 1, key })

/** A machine under attack, and an honest link to it that must notice nothing. */
async function besieged(changed: Partial<LinkLimits> = {}) {
  const limits = { ...defaultLinkLimits, ...changed }
  const refused: LinkError[] = []
  const onRefused = (_: string, error: LinkError): void => {
    refused.push(error)
  }
  const node = new PeerNode({ key: passingKey(), limits, onRefused })
  const server = node.transport({ identity: linkIdentity('worker', 'server', ring), secret, onRefused })
  ends.push(() => server.stop())
  const received: Message[] = []
  const peers: string[] = []
  const address = await server.listen('127.0.0.1:0', (link) => {
    peers.push(link.peer)
    return {
      onMessage: (message, { peer }) => {
        if (peer === 'honest') received.push(message)
      },
      onClose: () => {},
    }
  })
  const honestNode = new PeerNode({ key: passingKey() })
  const transport = honestNode.transport({ identity: linkIdentity('gateway', 'honest', ring), secret })
  ends.push(() => transport.stop())
  const link = await transport.connect(address, { onMessage: () => {}, onClose: () => {} })
  let count = 0
  const unharmed = async () => {
    expect(link.send(close(++count))).toBe(true)
    await vi.waitFor(() => expect(received.at(-1)).toEqual(close(count)))
  }
  const raw = async (): Promise<RawMachine> => {
    const machine = await rawMachine(address)
    ends.push(() => machine.destroy())
    return machine
  }
  return { node, address, refused, peers, raw, unharmed, transport, link }
}

const nothing = { onMessage: () => {}, onClose: () => {} }

test('another machine than the expected one is refused by its key, by name of both', async () => {
  const { address, transport } = await besieged()
  const { at } = parsePeerAddress(address)
  const meant = passingKey().publicKey
  const attempt = transport.connect(formatPeerAddress({ at, key: meant, circuit: null }), nothing)
  await expect(attempt).rejects.toMatchObject({ code: 'LINK_KEY', message: expect.stringContaining(meant) })
  await expect(transport.connect(at, nothing)).rejects.toMatchObject({ code: 'LINK_ADDRESS' })
})

test('a key that the machine does not hold is not believed', async () => {
  const { address, refused, unharmed } = await besieged()
  const stolen = { publicKey: passingKey().publicKey, sign: (bytes: Uint8Array) => passingKey().sign(bytes) }
  // The thief is cut off before or after it believes the handshake over.
  await rawMachine(address, stolen).then(
    ({ closed }) => closed,
    () => undefined,
  )
  await vi.waitFor(() => expect(refused.map(({ code }) => code)).toEqual(['LINK_KEY']))
  await unharmed()
})

test('a proof of the ring that was heard elsewhere opens nothing here, nor a second time', async () => {
  const { raw, refused, peers, unharmed } = await besieged()
  const [first, second] = [await raw(), await raw()]
  const heard = ringProof(secretKey, first.binding, ring, 1, 'open')
  second.open(1, ring, secretKey, heard)
  await second.channelClosed(1)
  first.open(3, ring, secretKey, heard)
  await first.channelClosed(3)
  first.open(5, ring, secretKey, ringProof(secretKey, first.binding, ring, 5, 'accept'))
  await first.channelClosed(5)
  expect(refused.map(({ code }) => code)).toEqual(Array(3).fill('LINK_UNAUTHENTICATED'))
  first.open(5, ring, secretKey) // a channel is opened once
  await first.closed
  expect(peers).toEqual(['honest'])
  await unharmed()
})

test('whoever came in as a member is no guest, and the other way round', async () => {
  const { raw, refused, peers, unharmed } = await besieged()
  const member = await raw()
  member.open(1, ring, secretKey)
  member.chunk('data', 1, hello('visitor', 'guest'), 1)
  await member.channelClosed(1)
  const guest = await raw()
  guest.open(1, 'guest:visitor ring-1', secretKey)
  await guest.channelClosed(1)
  expect(refused.map(({ code }) => code)).toEqual(Array(2).fill('LINK_UNAUTHENTICATED'))
  expect(peers).toEqual(['honest'])
  await unharmed()
})

test('a machine that says hello without proving the ring secret is not taken for a member', async () => {
  const key = passingKey()
  const impostor = createServer(async (socket) => {
    socket.on('error', () => {})
    const own = { key, side: 'acceptor', expected: null, timeoutMs: 5_000, name: 'visitor' } as const
    const { stream } = await secureStream(socket, own)
    const reader = new ChunkReader({
      onData: () => {},
      onControl: (kind, channel) => {
        if (kind !== 'open') return
        const said = hello('impostor')
        stream.write(Buffer.concat([chunkHeader('data', 0, channel, said.length), said]))
      },
    })
    stream.on('data', (bytes: Buffer) => reader.push(bytes))
    stream.resume()
  })
  await new Promise<void>((resolve) => impostor.listen(0, '127.0.0.1', resolve))
  ends.push(() => impostor.close())
  const bound = impostor.address()
  const at = `127.0.0.1:${typeof bound === 'object' && bound ? bound.port : 0}`
  const transport = new PeerNode({ key: passingKey() }).transport({
    ...{ identity: linkIdentity('gateway', 'victim', ring), secret },
  })
  ends.push(() => transport.stop())
  const attempt = transport.connect(formatPeerAddress({ at, key: key.publicKey, circuit: null }), nothing)
  await expect(attempt).rejects.toMatchObject({ message: expect.stringContaining('before it was accepted') })
})

test('chunks of nonsense, too large or about nothing end that connection alone', async () => {
  const { raw, unharmed } = await besieged()
  const attacks: ((machine: RawMachine) => void)[] = [
    (machine) => machine.bytes(new Uint8Array(64).fill(0xab)),
    (machine) => machine.chunk('data', 1, new Uint8Array(CHUNK_BYTES + 1)),
    (machine) => machine.chunk('ping', 0, new Uint8Array(2000)),
    (machine) => machine.chunk('data', 1, new Uint8Array(4), 4),
    (machine) => machine.chunk('open', 2, new Uint8Array(40)),
    (machine) => machine.chunk('open', 1, new Uint8Array(3)),
    (machine) => {
      machine.open(1, ring, secretKey)
      machine.chunk('accept', 1, new Uint8Array(32))
    },
    (machine) => {
      machine.open(1, ring, secretKey)
      machine.chunk('credit', 1, new Uint8Array([255, 255, 255, 255]))
    },
  ]
  for (const attack of attacks) {
    const machine = await raw()
    attack(machine)
    await machine.closed
  }
  await unharmed()
})

test('any bytes after the handshake end in links or in the end of that connection', async () => {
  const { raw, node, unharmed } = await besieged()
  const chunk = fc.record({
    kind: fc.constantFrom('open', 'accept', 'data', 'credit', 'close', 'ping', 'pong', 'move', 'punch'),
    channel: fc.nat(9),
    priority: fc.nat(4),
    payload: fc.uint8Array({ maxLength: 200 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(chunk, { maxLength: 12 }), fc.uint8Array(), async (chunks, tail) => {
      const machine = await raw()
      machine.open(1, ring, secretKey)
      for (const { kind, channel, payload, priority } of chunks)
        machine.chunk(kind as 'open', channel, payload, priority)
      machine.bytes(tail)
      machine.destroy()
      await machine.closed
    }),
    { numRuns: 60 },
  )
  await vi.waitFor(() => expect(node.connections).toHaveLength(1))
  await unharmed()
})

test('who never reads its pongs is cut off', async () => {
  const { raw, node, unharmed } = await besieged()
  const machine = await raw()
  machine.open(1, ring, secretKey)
  machine.chunk('data', 1, hello('deaf'))
  machine.stall()
  const pings = new Uint8Array(16 * 4096)
  const one = new Uint8Array([6, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 1, 1, 1])
  for (let at = 0; at < pings.length; at += one.length) pings.set(one, at)
  await vi.waitFor(
    () => {
      for (let burst = 0; burst < 20; burst++) machine.bytes(pings)
      expect(node.connections).toHaveLength(1)
    },
    { timeout: 15_000, interval: 5 },
  )
  await unharmed()
}, 20_000)

test('handshakes that never go on are dropped in time, and a flood of them keeps nobody out for long', async () => {
  const { address, refused, unharmed, transport } = await besieged({ handshakeTimeoutMs: 300 })
  const target = parseTcpAddress(parsePeerAddress(address).at)
  const flood = Array.from({ length: 100 }, (_, index) => {
    const socket = createConnection(target)
    socket.on('error', () => {})
    // Some say nothing, some a byte of a handshake now and then.
    if (index % 2 === 0) socket.write(new Uint8Array([0x16]))
    return new Promise<void>((resolve) => socket.once('close', () => resolve()))
  })
  await unharmed()
  await Promise.all(flood)
  const codes = new Set(refused.map(({ code }) => code))
  expect(codes).toContain('LINK_CLOSED')
  expect(codes).toContain('LINK_TIMEOUT')
  await unharmed()
  expect(transport.ring).toBe(ring)
})

test('a connection that opens no link is given up', async () => {
  const { raw, unharmed } = await besieged({ handshakeTimeoutMs: 100 })
  const machine = await raw()
  await machine.closed
  await unharmed()
})

test('keys alone open few connections from one address: each is to prove a ring first', async () => {
  const { raw, refused, unharmed } = await besieged()
  const crowd = await Promise.all(Array.from({ length: 32 }, () => raw()))
  await expect(raw()).rejects.toMatchObject({ code: 'LINK_UNAUTHENTICATED' })
  expect(refused.at(-1)).toMatchObject({ code: 'LINK_CLOSED', message: expect.stringContaining('32') })
  crowd[0]!.open(1, ring, secretKey)
  await vi.waitFor(() => expect(crowd[0]!.heard.map(({ kind }) => kind)).toContain('accept'))
  await raw()
  await unharmed()
})

test('more links on one connection than there may be are refused one by one', async () => {
  const { raw, unharmed } = await besieged()
  const machine = await raw()
  for (let channel = 1; channel < 2 * 257; channel += 2) machine.open(channel, ring, secretKey)
  await machine.channelClosed(513)
  expect(machine.heard.filter(({ kind }) => kind === 'accept')).toHaveLength(256)
  await unharmed()
})
