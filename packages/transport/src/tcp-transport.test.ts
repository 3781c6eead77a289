import { connect as connectNet, createServer as createNetServer, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { ringId } from '@deos/domain'
import { encodeMessage } from '@deos/protocol'
import { describe, expect, test, vi } from 'vitest'
import type { LinkError } from './link-error.ts'
import { helloOf, linkIdentity } from './link-identity.ts'
import { defaultLinkLimits } from './link-limits.ts'
import { pskTls, ringKey } from './ring-secret.ts'
import { parseTcpAddress } from './tcp-address.ts'
import { TcpTransport } from './tcp-transport.ts'
import { describeTransport, type RawPeer } from './testing/describe-transport.ts'

const ring = ringId('ring-1')
const right = new Uint8Array(32).fill(1)
const wrong = new Uint8Array(32).fill(2)
const nothing = { onMessage: () => {}, onClose: () => {} }

const rawPeer = (socket: Socket, ready: string): Promise<RawPeer> =>
  new Promise((resolve, reject) => {
    const closed = new Promise<void>((done) => socket.once('close', () => done()))
    socket.once('error', reject)
    socket.on('data', () => {})
    socket.once(ready, () => {
      resolve({
        write: (bytes) => socket.write(bytes),
        pause: () => socket.pause(),
        resume: () => socket.resume(),
        kill: () => socket.destroy(),
        closed,
      })
    })
  })

const sockets: Socket[] = []
const dispose = () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  return Promise.resolve()
}

describeTransport('TCP with TLS', () => ({
  create: (identity, secret, limits) =>
    new TcpTransport({ identity, secret: secret === 'right' ? right : wrong, limits }),
  address: '127.0.0.1:0',
  deadAddress: '127.0.0.1:1',
  connectRaw: (address, peer) => {
    const socket = connectTls({
      ...parseTcpAddress(address),
      ...pskTls,
      checkServerIdentity: () => undefined,
      pskCallback: () => ({ psk: ringKey(right, ring), identity: peer }),
    })
    sockets.push(socket)
    return rawPeer(socket, 'secureConnect')
  },
  dispose,
}))

describe('TLS under the ring secret', () => {
  const listening = async (options: { timeoutMs?: number } = {}) => {
    const refused: LinkError[] = []
    const limits = { ...defaultLinkLimits, handshakeTimeoutMs: options.timeoutMs ?? 5_000 }
    const server = new TcpTransport({
      identity: linkIdentity('worker', 'server', ring),
      secret: right,
      limits,
      onRefused: (_, error) => refused.push(error),
    })
    return { server, refused, limits, address: await server.listen('127.0.0.1:0', () => nothing) }
  }

  test('a peer cannot call itself by a name it did not authenticate under', async () => {
    const { server, refused, address } = await listening()
    const raw = connectTls({
      ...parseTcpAddress(address),
      ...pskTls,
      checkServerIdentity: () => undefined,
      pskCallback: () => ({ psk: ringKey(right, ring), identity: 'honest' }),
    })
    const peer = await rawPeer(raw, 'secureConnect')
    for (const part of encodeMessage(helloOf(linkIdentity('worker', 'liar', ring)))) peer.write(part)
    await peer.closed
    expect(refused.map((error) => error.code)).toEqual(['LINK_UNAUTHENTICATED'])
    await server.stop()
  })

  test('a wrong secret is reported where it was refused', async () => {
    const { server, refused, address } = await listening()
    const stranger = new TcpTransport({ identity: linkIdentity('worker', 'stranger', ring), secret: wrong })
    await expect(stranger.connect(address, nothing)).rejects.toMatchObject({ code: 'LINK_UNAUTHENTICATED' })
    expect(refused.map((error) => error.code)).toEqual(['LINK_UNAUTHENTICATED'])
    await Promise.all([server.stop(), stranger.stop()])
  })

  test('a connection that never starts TLS is dropped in time, and stop does not wait for it', async () => {
    const { server, address } = await listening({ timeoutMs: 50 })
    const idle = connectNet(parseTcpAddress(address))
    await new Promise<void>((resolve) => idle.once('close', () => resolve()))
    const another = connectNet(parseTcpAddress(address))
    await new Promise<void>((resolve) => another.once('connect', () => resolve()))
    another.on('error', () => {})
    await server.stop()
  })

  test('one address has only so many connections on which nothing is proved', async () => {
    const { server, refused, address, limits } = await listening()
    const most = limits.maxUnprovenPerAddress
    const client = new TcpTransport({ identity: linkIdentity('worker', 'a', ring), secret: right })
    const open = await Promise.all(Array.from({ length: most }, () => client.connect(address, nothing)))
    const idle = () => {
      const socket = connectNet(parseTcpAddress(address)).on('error', () => {})
      sockets.push(socket)
      return socket.resume()
    }
    const crowd = Array.from({ length: most }, idle)
    await Promise.all(crowd.map((socket) => new Promise((resolve) => socket.once('connect', resolve))))
    await new Promise((resolve) => idle().once('close', resolve))
    expect(refused).toMatchObject([{ code: 'LINK_CLOSED', message: expect.stringContaining(`${most}`) }])
    expect(open.every((link) => link.send({ type: 'close', epoch: 1, key: 1 }))).toBe(true)
    crowd[0]!.destroy()
    await vi.waitFor(() => client.connect(address, nothing))
    await dispose()
    await Promise.all([client.stop(), server.stop()])
  })

  test('a server that accepts and stays silent is given up', async () => {
    const mute = createNetServer(() => {})
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', () => resolve()))
    const { port } = mute.address() as { port: number }
    const limits = { ...defaultLinkLimits, handshakeTimeoutMs: 50 }
    const client = new TcpTransport({ identity: linkIdentity('worker', 'a', ring), secret: right, limits })
    await expect(client.connect(`127.0.0.1:${port}`, nothing)).rejects.toMatchObject({ code: 'LINK_TIMEOUT' })
    await client.stop()
    mute.close()
  })

  test('a secret too short to be one is refused', () => {
    const identity = linkIdentity('worker', 'a', ring)
    expect(() => new TcpTransport({ identity, secret: new Uint8Array(8) })).toThrow(RangeError)
    expect(() => linkIdentity('worker', 'two words', ring)).toThrow(RangeError)
  })
})

describe('plain links', () => {
  test('work on loopback and nowhere else', async () => {
    const plain = (peer: string) =>
      new TcpTransport({ identity: linkIdentity('worker', peer, ring), secret: null })
    const server = plain('server')
    const client = plain('client')
    const received: string[] = []
    const address = await server.listen('127.0.0.1:0', () => ({
      ...nothing,
      onMessage: (message) => received.push(message.type),
    }))
    const link = await client.connect(address, nothing)
    link.send({ type: 'close', epoch: 1, key: 1 })
    await vi.waitFor(() => expect(received).toEqual(['close']))
    await server.stop()
    await expect(client.listen('0.0.0.0:0', () => nothing)).rejects.toMatchObject({ code: 'LINK_ADDRESS' })
    await expect(client.connect('10.0.0.1:80', nothing)).rejects.toMatchObject({ code: 'LINK_ADDRESS' })
    await client.stop()
  })
})

test.each(['', 'host', 'host:', 'host:99999', ':1', 'a b:1', '[::1:1', 'host:1x'])(
  'address %j is refused',
  (address) => {
    expect(() => parseTcpAddress(address)).toThrow('is not an address')
  },
)

test('addresses may be names, IPv4 and bracketed IPv6', () => {
  expect(parseTcpAddress('worker-1.example:7001')).toEqual({ host: 'worker-1.example', port: 7001 })
  expect(parseTcpAddress('127.0.0.1:0')).toEqual({ host: '127.0.0.1', port: 0 })
  expect(parseTcpAddress('[::1]:443')).toEqual({ host: '::1', port: 443 })
})
