import { once } from 'node:events'
import { request } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { parseWanProfile } from '../profile/wan-profile.ts'
import { WanEmulator } from './wan-emulator.ts'

const profile = parseWanProfile(
  {
    ...{ name: 'test', title: 'Two sites', source: 'A test.', licence: 'CC0-1.0' },
    sites: [{ name: 'a' }, { name: 'b' }],
    inside: { oneWayMs: 0 },
    links: [
      { from: 'a', to: 'b', oneWayMs: 15, directed: true },
      { from: 'b', to: 'a', oneWayMs: 25, mbps: 80, directed: true },
    ],
  },
  'the test',
)

const toStop: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of toStop.splice(0).reverse()) await stop()
})

async function startEmulator(): Promise<WanEmulator> {
  const emulator = await WanEmulator.start({ profile, seed: 1 })
  toStop.push(() => emulator.stop())
  return emulator
}

/** Asks a proxy for a connection. */
function connectThrough(proxy: string, path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const asked = request(proxy, { method: 'CONNECT', path })
    asked.once('error', reject)
    asked.once('connect', ({ statusCode }, socket) => {
      if (statusCode === 200) resolve(socket)
      else reject(new Error(`The proxy answered ${statusCode}.`))
    })
    asked.end()
  })
}

/** A server at site b, and a way to reach it from site a. */
async function meet(emulator: WanEmulator, onSocket: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    onSocket(socket)
  })
  server.listen(0, emulator.sites[1]!.host)
  await once(server, 'listening')
  toStop.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const dial = async (host = emulator.sites[1]!.host) => {
    const socket = await connectThrough(emulator.sites[0]!.proxy, `${host}:${port}`)
    toStop.push(() => socket.destroy())
    return socket.resume()
  }
  return { dial, sockets }
}

const echo = (socket: Socket): void => {
  socket.pipe(socket)
}

async function collect(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

test('bytes go both ways unchanged, and never in less than a round trip', async () => {
  const { dial } = await meet(await startEmulator(), echo)
  const before = performance.now()
  const socket = await dial()
  expect(performance.now() - before).toBeGreaterThanOrEqual(39.5)
  socket.pause()
  const sent = Buffer.from(Uint32Array.from({ length: 75_000 }, (_, index) => index).buffer)
  const began = performance.now()
  socket.end(sent)
  expect((await collect(socket)).equals(sent)).toBe(true)
  // 300 kB over 10 MB/s on the way back.
  expect(performance.now() - began).toBeGreaterThanOrEqual(40 + 30 - 1)
})

test('what went between sites is counted by direction', async () => {
  const emulator = await startEmulator()
  const { dial } = await meet(emulator, (socket) => {
    socket.once('data', () => socket.end('four'))
  })
  const socket = await dial()
  socket.write('a')
  await collect(socket)
  expect(emulator.traffic).toEqual([
    { from: 'a', to: 'b', bytes: 1, deliveredBytes: 1, connections: 1 },
    { from: 'b', to: 'a', bytes: 4, deliveredBytes: 4, connections: 0 },
  ])
})

test('a kill amid a transfer resets both ends', async () => {
  const emulator = await startEmulator()
  const { dial, sockets } = await meet(emulator, (socket) => {
    socket.write(Buffer.alloc(4_000_000))
  })
  emulator.apply({ action: 'kill', from: 'b', to: 'a', afterBytes: 500_000 })
  const socket = await dial()
  let received = 0
  socket.on('data', (chunk: Buffer) => {
    received += chunk.length
  })
  const [error] = await once(socket, 'error')
  expect(error).toMatchObject({ code: 'ECONNRESET' })
  expect(received).toBeLessThan(500_000)
  const [server] = sockets
  if (!server!.destroyed) await new Promise((resolve) => server!.once('close', resolve))
})

test('a blackhole in one direction holds bytes back, and lets them through when it is gone', async () => {
  const emulator = await startEmulator()
  const { dial } = await meet(emulator, echo)
  const socket = await dial()
  emulator.apply({ action: 'blackhole', from: 'b', to: 'a' })
  const answer = once(socket, 'data')
  socket.write('hello')
  const early = await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 150, 'nothing'))])
  expect(early).toBe('nothing')
  emulator.apply({ action: 'open', from: 'b', to: 'a' })
  expect(String((await answer)[0])).toBe('hello')
})

test('over a reset nothing is reached, and what was open is cut', async () => {
  const emulator = await startEmulator()
  const { dial } = await meet(emulator, echo)
  const socket = await dial()
  const gone = once(socket, 'error')
  emulator.apply({ action: 'reset', from: 'a', to: 'b' })
  expect((await gone)[0]).toMatchObject({ code: 'ECONNRESET' })
  await expect(dial()).rejects.toMatchObject({ code: 'ECONNRESET' })
  emulator.apply({ action: 'open', from: 'a', to: 'b' })
  const again = await dial()
  again.write('x')
  expect(String((await once(again, 'data'))[0])).toBe('x')
})

test('who stands at no site is refused, and so is a port where nobody listens', async () => {
  const emulator = await startEmulator()
  const { dial } = await meet(emulator, echo)
  await expect(dial('127.0.0.1')).rejects.toThrow('403')
  await expect(dial(emulator.sites[0]!.host)).rejects.toThrow('502')
})

test('a port that cannot be is refused, and the network goes on', async () => {
  const emulator = await startEmulator()
  const { dial } = await meet(emulator, echo)
  const [a, b] = emulator.sites
  await expect(connectThrough(a!.proxy, `${b!.host}:99999`)).rejects.toThrow('400')
  const socket = await dial()
  socket.write('x')
  expect(String((await once(socket, 'data'))[0])).toBe('x')
})
