import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ConfigError, describeOptions, option, readConfig } from './config.ts'

const table = {
  port: option.port({ flag: 'port', env: 'DEOS_PORT', default: 8080, prose: 'Where to listen.' }),
  limit: option.duration({ flag: 'limit', env: 'DEOS_LIMIT', default: 30_000, prose: 'How long.' }),
  body: option.size({ flag: 'body', env: 'DEOS_BODY', default: 1024, prose: 'How large.' }),
  level: option.choice({
    flag: 'level',
    env: 'DEOS_LEVEL',
    default: 'info',
    choices: ['info', 'warn'],
    prose: 'How loud.',
  }),
  origins: option.list({ flag: 'origins', env: 'DEOS_ORIGINS', default: [], prose: 'Who may call.' }),
  verbose: option.boolean({ flag: 'verbose', env: 'DEOS_VERBOSE', default: false, prose: 'Say more.' }),
  secret: option.optionalText({ flag: null, env: 'DEOS_SECRET', secret: true, prose: 'Shared.' }),
}

const required = { model: option.text({ flag: 'model', env: 'DEOS_MODEL', prose: 'Path of a model.' }) }

describe('readConfig()', () => {
  test('uses the defaults of the table', () => {
    expect(readConfig(table, [], {})).toEqual({
      port: 8080,
      limit: 30_000,
      body: 1024,
      level: 'info',
      origins: [],
      verbose: false,
      secret: null,
    })
  })

  test('lets a flag beat a variable, and a variable the default', () => {
    const env = { DEOS_PORT: '1', DEOS_LIMIT: '2s' }
    const config = readConfig(table, ['--port', '3'], env)
    expect(config.port).toBe(3)
    expect(config.limit).toBe(2000)
  })

  test.each([
    [['--port=81'], 'port', 81],
    [['--limit', '250ms'], 'limit', 250],
    [['--limit', '1.5m'], 'limit', 90_000],
    [['--body', '10M'], 'body', 10 * 1024 * 1024],
    [['--origins', 'a, b,,c'], 'origins', ['a', 'b', 'c']],
    [['--verbose'], 'verbose', true],
    [['--verbose', '--no-verbose'], 'verbose', false],
    [['--level', 'warn'], 'level', 'warn'],
  ] as const)('reads %j', (argv, name, value) => {
    expect(readConfig(table, argv, {})[name]).toEqual(value)
  })

  test.each([
    [['--port', '70000'], '--port', '"70000"', 'between 0 and 65535'],
    [['--port', '1e3'], '--port', '"1e3"', 'whole number'],
    [['--limit', 'soon'], '--limit', '"soon"', '30s'],
    [['--body', '10 elephants'], '--body', '"10 elephants"', '512M'],
    [['--level', 'shout'], '--level', '"shout"', 'one of info, warn'],
    [['--verbose=perhaps'], '--verbose', '"perhaps"', 'true or false'],
    [['--prot', '1'], '--prot', 'no option --prot', '--port'],
    [['--no-port'], '--no-port', 'no option', '--port'],
    [['--port'], '--port', 'needs a value', '--port <port>'],
    [['stray'], 'stray', '"stray"', 'two dashes'],
  ] as const)('refuses %j with the option, the value and the remedy', (argv, name, message, hint) => {
    const error = thrown(() => readConfig(table, argv, {}))
    expect(error.option).toBe(name)
    expect(error.message).toContain(message)
    expect(error.hint).toContain(hint)
  })

  test('names the variable when the value came from there', () => {
    expect(thrown(() => readConfig(table, [], { DEOS_PORT: 'x' })).option).toBe('DEOS_PORT')
  })

  test('names both ways to give a required option', () => {
    expect(thrown(() => readConfig(required, [], {})).message).toMatch(/--model or DEOS_MODEL is required/)
  })

  test.each(['hunter2', 'abc', 'abcdef', 'zzzz'])('refuses the key %j without repeating it', (text) => {
    const key = { ring: option.key({ flag: null, env: 'DEOS_RING_SECRET', byteLength: 2, prose: 'Secret.' }) }
    const error = thrown(() => readConfig(key, [], { DEOS_RING_SECRET: text }))
    expect(error.hint).toContain('2 bytes as 4 hexadecimal digits')
    expect(`${error.message} ${error.hint}`).not.toContain(text)
    expect(readConfig(key, [], { DEOS_RING_SECRET: 'fF00' }).ring).toEqual(Buffer.from([255, 0]))
  })

  test('takes any words without failing otherwise than by ConfigError', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (argv) => {
        try {
          readConfig(table, argv, {})
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError)
        }
      }),
    )
  })
})

test('describeOptions() shows flag, variable, prose and default', () => {
  const help = describeOptions({ ...table, ...required })
  expect(help).toContain('--port <port>, DEOS_PORT')
  expect(help).toContain('How long. Default: 30s.')
  expect(help).toContain('How large. Default: 1 KiB.')
  expect(help).toContain('Path of a model. Required.')
  expect(help).not.toContain('--secret')
})

function thrown(act: () => unknown): ConfigError {
  try {
    act()
  } catch (error) {
    if (error instanceof ConfigError) return error
  }
  throw new Error('Nothing was refused.')
}
