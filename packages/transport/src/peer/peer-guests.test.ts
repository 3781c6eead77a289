import { ringId } from '@deos/domain'
import { afterEach, expect, test } from 'vitest'
import type { Link } from '../link.ts'
import type { LinkError } from '../link-error.ts'
import { linkIdentity } from '../link-identity.ts'
import { guestKey } from '../ring-secret.ts'
import { type MachineKey, passingKey } from './machine-key.ts'
import { PeerNode } from './peer-node.ts'
import type { PeerTransport } from './peer-transport.ts'

const ring = ringId('decode')
const secret = new Uint8Array(32).fill(1)
const nothing = { onMessage: () => {}, onClose: () => {} }
const transports: PeerTransport[] = []

afterEach(async () => {
  await Promise.all(transports.splice(0).map((transport) => transport.stop()))
})

function transport(
  role: 'worker' | 'gateway' | 'guest',
  peer: string,
  own: Uint8Array,
  node = new PeerNode({ key: passingKey() }),
  at = ring,
): PeerTransport {
  const created = node.transport({ identity: linkIdentity(role, peer, at), secret: own })
  transports.push(created)
  return created
}

async function host() {
  const links: Link[] = []
  const refused: LinkError[] = []
  const node = new PeerNode({ key: passingKey() })
  const created = node.transport({
    identity: linkIdentity('worker', 'host', ring),
    secret,
    onRefused: (_, error) => refused.push(error),
  })
  transports.push(created)
  const address = await created.listen('127.0.0.1:0', (link) => {
    links.push(link)
    return nothing
  })
  return { address, links, refused }
}

const keyFor = (machine: MachineKey, guest = 'visitor', at = ring): Uint8Array =>
  guestKey(secret, at, guest, machine.publicKey)

test('a worker of another ring comes in over its own connection, beside its own links', async () => {
  const { address, links } = await host()
  const key = passingKey()
  const node = new PeerNode({ key })
  await transport('gateway', 'somebody', secret, node).connect(address, nothing)
  const link = await transport('guest', 'visitor', keyFor(key), node).connect(address, nothing)
  expect(link.peer).toBe('host')
  expect(links.map(({ peer, role }) => [peer, role])).toEqual([
    ['somebody', 'gateway'],
    ['visitor', 'guest'],
  ])
  expect(node.connections).toHaveLength(1)
})

test('a key opens the door to one name from one machine for one ring', async () => {
  const { address, links, refused } = await host()
  const key = passingKey()
  const stolen = keyFor(key)
  const at = (given: Uint8Array, peer: string, machine = key, role: 'guest' | 'worker' = 'guest') =>
    transport(role, peer, given, new PeerNode({ key: machine })).connect(address, nothing)
  const wrong = { code: 'LINK_UNAUTHENTICATED' }
  await expect(at(stolen, 'visitor', passingKey())).rejects.toMatchObject(wrong)
  await expect(at(stolen, 'another')).rejects.toMatchObject(wrong)
  await expect(at(stolen, 'visitor', key, 'worker')).rejects.toMatchObject(wrong)
  await expect(at(keyFor(key, 'visitor', ringId('other')), 'visitor')).rejects.toMatchObject(wrong)
  await expect(at(guestKey(secret, ring, 'visitor'), 'visitor')).rejects.toMatchObject(wrong)
  expect(refused.map(({ code }) => code)).toEqual(Array.from({ length: 5 }, () => wrong.code))
  expect(links).toEqual([])
})

test('a guest takes no links and has no guests', async () => {
  const { address, links } = await host()
  const key = passingKey()
  const given = keyFor(key)
  const guest = transport('guest', 'visitor', given, new PeerNode({ key }))
  await expect(guest.listen('127.0.0.1:0', () => nothing)).rejects.toMatchObject({ code: 'LINK_ADDRESS' })
  const other = passingKey()
  const further = guestKey(given, ring, 'further', other.publicKey)
  const called = transport('guest', 'further', further, new PeerNode({ key: other }))
  await expect(called.connect(address, nothing)).rejects.toMatchObject({ code: 'LINK_UNAUTHENTICATED' })
  expect(links).toEqual([])
})
