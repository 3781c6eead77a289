import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { ringId } from '@deos/domain'
import { afterEach, expect, test } from 'vitest'
import { dialBy } from './dial.ts'
import { connectThrough, type HttpProxy, parseHttpProxy } from './http-proxy.ts'
import { linkIdentity } from './link-identity.ts'
import { askCircuit } from './relay/relay-client.ts'
import { TcpTransport } from './tcp-transport.ts'

const toStop: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of toStop.splice(0).reverse()) await stop()
})

/** A proxy that connects to whatever is asked for, unless it answers with `refusal`. */
async function startProxy(refusal: string | null = null) {
  const asked: IncomingMessage[] = []
  const sockets = new Set<Socket>()
  const server = createServer()
  server.on('connect', (request, stream) => {
    const client = stream as Socket
    asked.push(request)
    sockets.add(client)
    client.on('error', () => undefined)
    if (refusal !== null) {
      client.end(refusal)
      return
    }
    const [host, port] = request.url!.split(':')
    const target = connect(Number(port), host)
    sockets.add(target)
    target.on('error', () => client.destroy())
    target.on('connect', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      client.pipe(target).pipe(client)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  toStop.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const proxy: HttpProxy = { host: '127.0.0.1', port, authorization: null }
  return { proxy, asked }
}

const silent = { onMessage: () => undefined, onClose: () => undefined }

function transport(peer: string, secret: Uint8Array | null, proxy: HttpProxy | null = null): TcpTransport {
  const made = new TcpTransport({ identity: linkIdentity('worker', peer, ringId('r')), secret, proxy })
  toStop.push(() => made.stop())
  return made
}

test.each([
  ['with TLS', new Uint8Array(32).fill(7)],
  ['in the clear', null],
])('a link %s goes through a proxy', async (_, secret) => {
  const { proxy, asked } = await startProxy()
  const heard = new Promise((resolve) => {
    void transport('b', secret)
      .listen('127.0.0.1:0', () => ({ ...silent, onMessage: (message) => resolve(message) }))
      .then(async (address) => {
        const link = await transport('a', secret, { ...proxy, authorization: 'Basic eDp5' }).connect(
          address,
          silent,
        )
        expect(link.peer).toBe('b')
        expect(asked[0]).toMatchObject({ url: address, headers: { 'proxy-authorization': 'Basic eDp5' } })
        link.send({ type: 'close', epoch: 3, key: 4 })
      })
  })
  expect(await heard).toMatchObject({ type: 'close', epoch: 3, key: 4 })
})

test('what a proxy says against it is told', async () => {
  const { proxy } = await startProxy('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
  const dialled = transport('a', new Uint8Array(32), proxy).connect('127.0.0.1:9', silent)
  await expect(dialled).rejects.toMatchObject({ code: 'LINK_REFUSED' })
  await expect(dialled).rejects.toThrow('407 Proxy Authentication Required')
})

test('a proxy that is not there, and one that is none', async () => {
  const target = { host: 'x', port: 1 }
  const gone = { host: '127.0.0.1', port: 1, authorization: null }
  await expect(connectThrough(gone, target, { timeoutMs: 5000 })).rejects.toMatchObject({
    code: 'LINK_UNREACHABLE',
  })
  const { proxy } = await startProxy(`SSH-2.0-x\r\n\r\n`)
  await expect(connectThrough(proxy, target, { timeoutMs: 5000 })).rejects.toThrow('no HTTP')
})

test('a proxy that resets a connection which it opened ends no more than that', async () => {
  const server = createServer()
  server.on('connect', (_, stream) => {
    const client = stream as Socket
    client.write('HTTP/1.1 200 Connection established\r\n\r\n', () => client.resetAndDestroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  toStop.push(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const proxy: HttpProxy = { host: '127.0.0.1', port, authorization: null }
  const asked = askCircuit(dialBy(proxy), '127.0.0.1:9', 'a'.repeat(20), 5_000)
  await expect(asked).rejects.toMatchObject({
    code: expect.stringMatching(/^LINK_(CLOSED|REFUSED|UNREACHABLE)$/),
  })
})

test('waiting for a proxy can be given up', async () => {
  const { proxy } = await startProxy('')
  const signal = AbortSignal.abort()
  await expect(
    connectThrough(proxy, { host: 'x', port: 1 }, { timeoutMs: 5000, signal }),
  ).rejects.toMatchObject({
    code: 'LINK_ABORTED',
  })
})

test.each([
  ['http://proxy:3128', { host: 'proxy', port: 3128, authorization: null }],
  ['http://[::1]', { host: '::1', port: 80, authorization: null }],
  ['http://x:y@proxy:1/', { host: 'proxy', port: 1, authorization: 'Basic eDp5' }],
  ['http://x:%79@proxy:1/', { host: 'proxy', port: 1, authorization: 'Basic eDp5' }],
  ['http://x:100%@proxy:1/', { host: 'proxy', port: 1, authorization: `Basic ${btoa('x:100%')}` }],
])('%s is a proxy', (text, proxy) => {
  expect(parseHttpProxy(text)).toEqual(proxy)
})

test.each(['proxy:3128', 'https://proxy', 'socks5://proxy:1', 'http://proxy/path', ''])(
  '"%s" is not a proxy',
  (text) => {
    expect(() => parseHttpProxy(text)).toThrow('is not an HTTP proxy')
  },
)

test('a password is not in the message', () => {
  expect(() => parseHttpProxy('https://me:secret@proxy')).not.toThrow('secret')
})
