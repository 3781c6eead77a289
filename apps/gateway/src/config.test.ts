import { expect, test } from 'vitest'
import { readGatewayConfig } from './config.ts'

const ring = ['--model', 'm', '--ring', 'r', '--leader', 'l:1', '--tail', 't:1']
const secret = { DEOS_RING_SECRET: '0f'.repeat(32) }

test('a ring’s gateway and one that follows a control plane have options of their own', () => {
  expect(readGatewayConfig(ring, secret)).toMatchObject({ ring: 'r', leader: 'l:1' })
  const token = { DEOS_GATEWAY_TOKEN: 'deos_g_x' }
  const routed = readGatewayConfig(['--control-plane', 'http://127.0.0.1:7000'], token)
  expect(routed).toMatchObject({ controlPlane: 'http://127.0.0.1:7000', waitPatienceMs: 10_000 })
  expect(readGatewayConfig([], { ...token, DEOS_CONTROL_PLANE: 'http://c' })).toHaveProperty('controlPlane')
})

test('a ring on the command line goes before a control plane in the environment', () => {
  expect(readGatewayConfig(ring, { ...secret, DEOS_CONTROL_PLANE: 'http://c' })).toMatchObject({ ring: 'r' })
})

test('what is missing is named', () => {
  expect(() => readGatewayConfig(['--control-plane', 'http://c'], {})).toThrow('DEOS_GATEWAY_TOKEN')
  expect(() => readGatewayConfig([], secret)).toThrow('--model')
  expect(() => readGatewayConfig(['--control-plane=http://c', '--ring', 'r'], {})).toThrow('--ring')
})
