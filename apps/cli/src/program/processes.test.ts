import { expect, test } from 'vitest'
import { joinWords } from './processes.ts'

const url = 'https://deos.example.org'

test.each([
  [[url, '--token', 'deos_j_x', '--name', 'attic']],
  [['--token', 'deos_j_x', url, '--name', 'attic']],
  [[url, '--name', 'attic', '--token=deos_j_x']],
])('%j: the address gets its flag, and the token goes where no process list shows it', (words) => {
  expect(joinWords(words)).toEqual({
    args: ['--url', url, '--name', 'attic'],
    env: { DEOS_TOKEN: 'deos_j_x' },
  })
})

test('without a token the environment stays as it is', () => {
  expect(joinWords([url])).toEqual({ args: ['--url', url], env: {} })
  expect(joinWords(['--help'])).toEqual({ args: ['--help'], env: {} })
  expect(joinWords([])).toEqual({ args: [], env: {} })
  expect(joinWords([url, '--token'])).toEqual({ args: ['--url', url, '--token'], env: {} })
})
