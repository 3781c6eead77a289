import { expect, test } from 'vitest'
import { readControlPlaneConfig } from './config.ts'

const token = `deos_g_${'g'.repeat(43)}`
const key = `deos_k_${'k'.repeat(43)}`

test('what is left out has a default', () => {
  expect(readControlPlaneConfig([], {})).toMatchObject({
    ...{ host: '127.0.0.1', port: 7000, publicUrl: null, gatewayToken: null, bootstrapKey: null },
    ...{ heartbeatMs: 1000, leaseMs: 4000 },
  })
})

test('addresses and secrets are taken as they are', () => {
  const env = { DEOS_GATEWAY_TOKEN: token, DEOS_BOOTSTRAP_KEY: key }
  const config = readControlPlaneConfig(['--public-url', 'https://deos.example.org/'], env)
  expect(config).toMatchObject({
    ...{ publicUrl: 'https://deos.example.org/', gatewayToken: token, bootstrapKey: key },
  })
})

test.each(['nonsense', 'ftp://host', 'deos.example.org', 'https://user:word@host', 'https://host/#part'])(
  'an address cannot be %s',
  (url) => {
    expect(() => readControlPlaneConfig(['--public-url', url], {})).toThrow(
      `--public-url cannot be "${url}".`,
    )
    expect(() => readControlPlaneConfig(['--gateway-url', url], {})).toThrow('--gateway-url')
  },
)

test.each([
  ['DEOS_GATEWAY_TOKEN', 'short'],
  ['DEOS_GATEWAY_TOKEN', 'deos_g_short'],
  ['DEOS_GATEWAY_TOKEN', key],
  ['DEOS_BOOTSTRAP_KEY', token],
  ['DEOS_BOOTSTRAP_KEY', `${key} `.repeat(2)],
])('%s cannot be guessed, nor taken for something else: %s', (name, value) => {
  const read = () => readControlPlaneConfig([], { [name]: value })
  expect(read).toThrow(`The value of ${name} cannot be used.`)
  expect(read).not.toThrow(value)
})

test('a lease lasts longer than a heartbeat that comes late', () => {
  expect(() => readControlPlaneConfig(['--heartbeat', '5s'], {})).toThrow(
    '--lease is 4000 ms, and machines beat every 5000 ms.',
  )
  expect(() => readControlPlaneConfig(['--heartbeat', '0'], {})).toThrow('--heartbeat is 0 ms')
  expect(readControlPlaneConfig(['--heartbeat', '2s'], {}).leaseMs).toBe(4000)
})
