import { ConfigError, readConfig } from '@deos/service'
import { expect, test } from 'vitest'
import { agentOptions, agentSettings } from './agent-options.ts'

const settings = (argv: readonly string[], env: Record<string, string> = {}) =>
  agentSettings(readConfig(agentOptions, ['--url', 'http://127.0.0.1:7000/', ...argv], env))

test('a control plane on this computer is reached, and listened for, on loopback only', () => {
  expect(settings(['--home', '/h'])).toMatchObject({
    url: 'http://127.0.0.1:7000',
    token: null,
    folder: '/h/machine/default',
    location: null,
    listenHost: '127.0.0.1',
    memoryLimitBytes: null,
    speed: 1,
  })
  expect(settings(['--url', 'https://deos.example.org/x/']).listenHost).toBe('0.0.0.0')
  expect(settings(['--url', 'http://[::1]:80']).listenHost).toBe('127.0.0.1')
})

test('what is said counts', () => {
  const argv = [
    '--home',
    '/h',
    '--name',
    'attic-1',
    '--region',
    'eu-north',
    '--memory',
    '2GiB',
    '--speed',
    '0.5',
  ]
  expect(settings(argv, { DEOS_TOKEN: 'deos_j_x' })).toMatchObject({
    token: 'deos_j_x',
    folder: '/h/machine/attic-1',
    wantedName: 'attic-1',
    location: { region: 'eu-north', provider: 'unknown' },
    memoryLimitBytes: 2 ** 31,
    speed: 0.5,
  })
})

test.each([
  ['--url', 'deos.example.org'],
  ['--url', 'ftp://x'],
  ['--name', '../up'],
  ['--name', 'Attic'],
  ['--region', 'a b'],
  ['--provider', '-x'],
  ['--advertise', 'host:70'],
  ['--speed', '0'],
  ['--speed', '1.5'],
  ['--speed', 'fast'],
  ['--threads', '0'],
])('%s %s is refused by name', (flag, value) => {
  expect(() => settings([flag, value])).toThrow(ConfigError)
  expect(() => settings([flag, value])).toThrow(flag)
})

test('a token is not taken from the command line, where everybody sees it', () => {
  expect(() => settings(['--token', 'deos_j_x'])).toThrow(/no option --token/)
})
