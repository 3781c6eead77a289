import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { HubError, OutgoingRefusedError } from './errors.ts'
import { textOf } from './hub.ts'
import { type Lookup, Outgoing } from './outgoing.ts'
import { isPublicAddress } from './public-address.ts'

describe('addresses of the public internet', () => {
  test.each(['93.184.216.34', '8.8.8.8', '2606:2800:220:1::1', '2001:4860:4860::8888'])(
    '%s is one',
    (address) => {
      expect(isPublicAddress(address)).toBe(true)
    },
  )

  test.each([
    '127.0.0.1',
    '127.9.9.9',
    '10.0.0.1',
    '172.16.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '0.0.0.0',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '192.0.2.1',
    '198.18.0.1',
    '::',
    '::1',
    '::127.0.0.1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    '::ffff:0:8.8.8.8',
    '64:ff9b::8.8.8.8',
    '64:ff9b:1::1',
    '2002:7f00:1::',
    '2001::1',
    '2001:db8::1',
    'fe80::1',
    'fe80::1%eth0',
    'fc00::1',
    'fd12:3456::1',
    'fec0::1',
    'ff02::1',
    '4000::1',
    'localhost',
    '',
  ])('%s is none', (address) => {
    expect(isPublicAddress(address)).toBe(false)
  })
})

let server: Server
let port: number
const seen: { url: string; authorization: string | undefined }[] = []
beforeAll(async () => {
  server = createServer(({ url = '', headers }, answer) => {
    seen.push({ url, authorization: headers.authorization })
    const to = new URL(url, 'http://x').searchParams.get('to')
    if (to === null) answer.end('here')
    else answer.writeHead(302, { location: to }).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
afterAll(() => server.close())

const opened: Outgoing[] = []
afterAll(async () => {
  for (const outgoing of opened) await outgoing.close()
})

function outgoing(allowedHosts: readonly string[], lookup?: Lookup): Outgoing {
  const made = new Outgoing({ allowedHosts, idleMs: 2000, ...(lookup ? { lookup } : {}) })
  opened.push(made)
  return made
}
const allowed = () => outgoing([`127.0.0.1:${port}`])
const here = (path: string) => `http://127.0.0.1:${port}${path}`
const redirect = (to: string) => here(`/?to=${encodeURIComponent(to)}`)

/** Every name leads to these addresses. */
const namesLeadTo =
  (...addresses: string[]): Lookup =>
  (_host, _options, callback) =>
    callback(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    )

test('hosts that the operator allowed are called as they are', async () => {
  expect(await textOf(await allowed().get(here('/x')))).toBe('here')
  expect(await textOf(await allowed().get(redirect('/y')))).toBe('here')
  expect(await textOf(await outgoing(['127.0.0.1']).get(here('/x')))).toBe('here')
})

test.each([
  'http://example.org/',
  'https://127.0.0.1/',
  'https://2130706433/',
  'https://0x7f.1/',
  'https://[::1]/',
  'https://[::ffff:127.0.0.1]/',
  'https://169.254.169.254/latest/meta-data',
  'https://user:secret@example.org/',
  'file:///etc/passwd',
  'ftp://example.org/',
  'nothing',
])('%s is refused before anything is asked', async (address) => {
  expect(() => outgoing([]).check(address)).toThrow(OutgoingRefusedError)
  await expect(outgoing([]).get(address)).rejects.toThrow(OutgoingRefusedError)
})

test.each([
  ['a loopback address', ['127.0.0.1']],
  ['a private address beside a public one', ['93.184.216.34', '10.0.0.7']],
  ['a mapped address', ['::ffff:10.0.0.7']],
  ['no address', []],
])('a name that leads to %s is refused', async (_, addresses) => {
  const guarded = outgoing([], namesLeadTo(...addresses))
  await expect(guarded.get('https://models.example.org/')).rejects.toThrow(OutgoingRefusedError)
})

test('the connection goes to the address that was checked', async () => {
  let asked = 0
  // The second answer would lead inside, if anybody asked again.
  const rebinding: Lookup = (host, options, callback) => {
    asked += 1
    namesLeadTo(asked === 1 ? '203.0.114.1' : '127.0.0.1')(host, options, callback)
  }
  const stop = AbortSignal.timeout(300)
  const guarded = outgoing([], rebinding)
  await expect(guarded.get('https://models.example.org/', { signal: stop })).rejects.toThrow()
  expect(asked).toBe(1)
})

test.each(['http://127.0.0.1:1/', 'https://192.168.0.1/', 'http://localhost/', 'gopher://x/', 'http://['])(
  'a redirect to %s is not followed',
  async (to) => {
    await expect(allowed().get(redirect(to))).rejects.toThrow(OutgoingRefusedError)
  },
)

test('redirects end', async () => {
  const circle = redirect('/?to=%2F%3Fto%3Dx')
  expect(await textOf(await allowed().get(circle))).toBe('here')
  let nested = '/end'
  for (let hops = 0; hops < 6; hops += 1) nested = `/?to=${encodeURIComponent(nested)}`
  await expect(allowed().get(here(nested))).rejects.toThrow(HubError)
})

test('a token goes to its origin and no other', async () => {
  seen.length = 0
  const both = outgoing(['127.0.0.1', 'localhost'])
  const token = { origin: `http://127.0.0.1:${port}`, value: 'hf_secret' }
  await textOf(await both.get(redirect(`http://localhost:${port}/z`), { token }))
  expect(seen.map(({ authorization }) => authorization)).toEqual(['Bearer hf_secret', undefined])
})

test('says who could not be reached', async () => {
  await expect(outgoing(['127.0.0.1:1']).get('http://127.0.0.1:1/')).rejects.toThrow(
    /127.0.0.1:1 could not be reached/,
  )
})
