import { ringId } from '@deos/domain'
import { afterEach, expect, test } from 'vitest'
import type { Link } from './link.ts'
import { linkIdentity } from './link-identity.ts'
import { guestKey } from './ring-secret.ts'
import { TcpTransport } from './tcp-transport.ts'

const ring = ringId('decode')
const secret = new Uint8Array(32).fill(1)
const nothing = { onMessage: () => {}, onClose: () => {} }
const transports: TcpTransport[] = []

afterEach(async () => {
  await Promise.all(transports.splice(0).map((transport) => transport.stop()))
})

function transport(role: 'worker' | 'guest', peer: string, own: Uint8Array): TcpTransport {
  const created = new TcpTransport({ identity: linkIdentity(role, peer, ring), secret: own })
  transports.push(created)
  return created
}

async function host(): Promise<{ readonly address: string; readonly links: readonly Link[] }> {
  const links: Link[] = []
  const address = await transport('worker', 'host', secret).listen('127.0.0.1:0', (link) => {
    links.push(link)
    return nothing
  })
  return { address, links }
}

test('a worker of another ring comes in under its name with the key made for it', async () => {
  const { address, links } = await host()
  const link = await transport('guest', 'visitor', guestKey(secret, ring, 'visitor')).connect(
    address,
    nothing,
  )
  expect(link.peer).toBe('host')
  expect(links.map(({ peer, role }) => [peer, role])).toEqual([['visitor', 'guest']])
})

test('with that key it is nobody else: no other guest, no guest elsewhere, no member', async () => {
  const { address, links } = await host()
  const key = guestKey(secret, ring, 'visitor')
  await expect(transport('guest', 'another', key).connect(address, nothing)).rejects.toThrow()
  await expect(transport('worker', 'visitor', key).connect(address, nothing)).rejects.toThrow()
  const elsewhere = guestKey(secret, ringId('other'), 'visitor')
  await expect(transport('guest', 'visitor', elsewhere).connect(address, nothing)).rejects.toThrow()
  expect(links).toEqual([])
  expect(() => linkIdentity('worker', 'guest:visitor', ring)).toThrow(RangeError)
})

test('a guest has no guests', async () => {
  const key = guestKey(secret, ring, 'visitor')
  const address = await transport('guest', 'visitor', key).listen('127.0.0.1:0', () => nothing)
  const further = guestKey(key, ring, 'further')
  await expect(transport('guest', 'further', further).connect(address, nothing)).rejects.toThrow()
})
