import { once } from 'node:events'
import { connect, createServer, type Server } from 'node:net'
import { parseWanProfile, WanEmulator } from '@deos/wan'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SiteTunnel } from './site-tunnel.ts'

const profile = parseWanProfile(
  {
    ...{ name: 'two', title: 'Two sites', source: 'A test.', licence: 'CC0-1.0' },
    sites: [{ name: 'here' }, { name: 'there' }],
    ...{ inside: { oneWayMs: 0 }, otherwise: { oneWayMs: 1 }, links: [] },
  },
  'the test',
)

let network: WanEmulator
let server: Server
let tunnel: SiteTunnel

beforeEach(async () => {
  network = await WanEmulator.start({ profile, seed: 1 })
  const { host } = network.sites[1]!
  server = createServer((socket) => {
    // Connections are cut, not ended.
    socket.on('error', () => undefined)
    socket.pipe(socket)
  }).listen(0, host)
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  tunnel = await SiteTunnel.open(network.sites[0]!.proxy, { host, port })
})

afterEach(async () => {
  tunnel.close()
  server.close()
  await network.stop()
})

test('what goes through it crosses the emulated network both ways', async () => {
  const socket = connect(tunnel.port, '127.0.0.1')
  socket.write('through the tunnel')
  const [answer] = await once(socket, 'data')
  expect(String(answer)).toBe('through the tunnel')
  const bytes = (from: string, to: string) =>
    network.traffic.find((pair) => pair.from === from && pair.to === to)?.bytes
  expect(bytes('here', 'there')).toBe(18)
  expect(bytes('there', 'here')).toBe(18)
  socket.destroy()
})

test('closing it ends its connections', async () => {
  const socket = connect(tunnel.port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.write('x')
  await once(socket, 'data')
  tunnel.close()
  await once(socket, 'close')
})
