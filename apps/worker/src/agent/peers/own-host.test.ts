import { expect, test } from 'vitest'
import { findOwnHost, isPrivateAddress } from './own-host.ts'

const anywhere = { url: 'http://cp:7000', listenHost: '0.0.0.0', advertise: null }
const from = (local: string, remote: string) => async () => ({ local, remote })

test('what is said, and what is listened on, counts as it is', async () => {
  const never = () => Promise.reject(new Error('nobody asks'))
  expect(await findOwnHost({ ...anywhere, advertise: 'gpu.example.org' }, never)).toBe('gpu.example.org')
  expect(await findOwnHost({ ...anywhere, listenHost: '127.0.0.1' }, never)).toBe('127.0.0.1')
})

test('a machine that is not to be dialled has none, wherever it listens', async () => {
  const never = () => Promise.reject(new Error('nobody asks'))
  expect(await findOwnHost({ ...anywhere, listenHost: '127.0.0.1', advertise: 'none' }, never)).toBeNull()
})

test.each([
  ['192.168.1.5', '192.168.1.2', '192.168.1.5'],
  ['::ffff:10.0.0.5', '::ffff:10.1.0.2', '10.0.0.5'],
  ['203.0.113.9', '198.51.100.1', '203.0.113.9'],
  ['192.168.1.5', '198.51.100.1', null],
  ['fe80::1', '2001:db8::1', null],
  ['2001:db8::9', '2001:db8::1', '2001:db8::9'],
])('%s that reaches %s is known as %s', async (local, remote, expected) => {
  expect(await findOwnHost(anywhere, from(local, remote))).toBe(expected)
})

test('without a way to the control plane nothing is claimed', async () => {
  expect(await findOwnHost(anywhere, async () => null)).toBeNull()
})

test.each([
  ['100.64.0.1', true],
  ['172.32.0.1', false],
  ['::1', true],
  ['::ffff:127.0.0.1', true],
  ['8.8.8.8', false],
])('isPrivateAddress(%s) is %s', (address, expected) => {
  expect(isPrivateAddress(address)).toBe(expected)
})
