import { bytes, DomainError, formatBytes, parseBytes } from '@deos/domain'

/** Turns the text of a flag or variable into a value, or says in a phrase what it should have been. */
type Parse<T> = (text: string) => { readonly value: T } | { readonly expected: string }

/** One row of a process's table of options. */
export interface Option<T> {
  /** Long flag without dashes, or `null` when the value must not show in a process list. */
  readonly flag: string | null
  /** Environment variable. */
  readonly env: string
  /** Shown in help: `port`, `duration`, … */
  readonly kind: string
  readonly prose: string
  /** Value without flag and variable; `undefined` makes the option required. */
  readonly fallback: T | undefined
  /** Its value is never shown. */
  readonly secret: boolean
  readonly parse: Parse<T>
  /** How the default reads in help. */
  readonly formatted: string | null
}

export type OptionTable = Readonly<Record<string, Option<unknown>>>

/** The values of a table, typed by its rows. */
export type Config<T extends OptionTable> = {
  readonly [K in keyof T]: T[K] extends Option<infer V> ? V : never
}

/** What a caller writes for one row; leaving `default` out makes the option required. */
export interface Row<T> {
  readonly flag: string | null
  readonly env: string
  readonly prose: string
  readonly default?: T
  readonly secret?: boolean
}

/** An option was given a value it cannot take, is missing, or does not exist. */
export class ConfigError extends DomainError {
  readonly code = 'CONFIG_INVALID'
  readonly retriable = false

  constructor(
    /** Name as the user wrote it: `--port`, `DEOS_PORT`. */
    readonly option: string,
    message: string,
    hint: string,
  ) {
    super(message, hint)
  }
}

function row<T>(kind: string, row: Row<T>, parse: Parse<T>, format: (value: T) => string): Option<T> {
  const fallback = row.default
  return {
    flag: row.flag,
    env: row.env,
    kind,
    prose: row.prose,
    fallback,
    secret: row.secret ?? false,
    parse,
    formatted: fallback === undefined || fallback === null || fallback === '' ? null : format(fallback),
  }
}

const durationPattern = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/
const durationScale: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

function formatDuration(durationMs: number): string {
  return durationMs % 1000 === 0 ? `${durationMs / 1000}s` : `${durationMs}ms`
}

/** Makers of rows, one for each type of value. */
export const option = {
  text: (spec: Row<string>): Option<string> =>
    row(
      'text',
      spec,
      (text) => (text === '' ? { expected: 'a value that is not empty' } : { value: text }),
      String,
    ),

  /** Text that may be absent. */
  optionalText: (spec: Omit<Row<string | null>, 'default'>): Option<string | null> =>
    row<string | null>(
      'text',
      { ...spec, default: null },
      (text) => ({ value: text === '' ? null : text }),
      String,
    ),

  integer: (spec: Row<number> & { readonly min?: number; readonly max?: number }): Option<number> => {
    const { min = 0, max = Number.MAX_SAFE_INTEGER } = spec
    const range = max === Number.MAX_SAFE_INTEGER ? `at least ${min}` : `between ${min} and ${max}`
    return row(
      'number',
      spec,
      (text) => {
        const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN
        return value >= min && value <= max ? { value } : { expected: `a whole number ${range}` }
      },
      String,
    )
  },

  /** A TCP port; 0 lets the system choose. */
  port: (spec: Row<number>): Option<number> => ({
    ...option.integer({ ...spec, max: 65_535 }),
    kind: 'port',
  }),

  /** Milliseconds, written `500ms`, `30s`, `5m`, `1h`, or as a plain number of milliseconds. */
  duration: (spec: Row<number>): Option<number> =>
    row(
      'duration',
      spec,
      (text) => {
        const match = durationPattern.exec(text)
        return match
          ? { value: Math.round(Number(match[1]) * (durationScale[match[2] ?? 'ms'] ?? 1)) }
          : { expected: 'a duration such as 500ms, 30s or 5m' }
      },
      formatDuration,
    ),

  /** Bytes, written `10M`, `1.5 GiB`, or as a plain number. */
  size: (spec: Row<number>): Option<number> =>
    row(
      'size',
      spec,
      (text) => {
        try {
          return { value: parseBytes(text) }
        } catch {
          return { expected: 'a size such as 512M or 1.5G' }
        }
      },
      (value) => formatBytes(bytes(value)),
    ),

  /** Flag without a value (`--verbose`, `--no-verbose`); as a variable `1`, `true`, `0`, `false`. */
  boolean: (spec: Row<boolean>): Option<boolean> =>
    row(
      'boolean',
      spec,
      (text) => {
        if (['1', 'true', 'yes', 'on'].includes(text.toLowerCase())) return { value: true }
        if (['0', 'false', 'no', 'off', ''].includes(text.toLowerCase())) return { value: false }
        return { expected: 'true or false' }
      },
      String,
    ),

  /** Bytes of a key, as hexadecimal digits; never shown. */
  key: (spec: Omit<Row<Buffer>, 'default' | 'secret'> & { readonly byteLength: number }): Option<Buffer> =>
    row<Buffer>(
      'key',
      { ...spec, secret: true },
      (text) =>
        /^[0-9a-f]*$/i.test(text) && text.length === 2 * spec.byteLength
          ? { value: Buffer.from(text, 'hex') }
          : { expected: `${spec.byteLength} bytes as ${2 * spec.byteLength} hexadecimal digits` },
      () => '',
    ),

  choice: <const C extends string>(spec: Row<C> & { readonly choices: readonly C[] }): Option<C> =>
    row<C>(
      spec.choices.join('|'),
      spec,
      (text) => {
        const value = spec.choices.find((choice) => choice === text)
        return value === undefined ? { expected: `one of ${spec.choices.join(', ')}` } : { value }
      },
      String,
    ),

  /** Comma-separated; blanks around parts are dropped. */
  list: (spec: Row<readonly string[]>): Option<readonly string[]> =>
    row<readonly string[]>(
      'list',
      spec,
      (text) => ({
        value: text
          .split(',')
          .map((part) => part.trim())
          .filter((part) => part !== ''),
      }),
      (value) => value.join(','),
    ),
}

/** Flags as written, by long name. */
function splitFlags(table: OptionTable, argv: readonly string[]): ReadonlyMap<string, string> {
  const byFlag = new Map(
    Object.values(table).flatMap((option) => (option.flag === null ? [] : [[option.flag, option] as const])),
  )
  const given = new Map<string, string>()
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index]!
    const match = /^--([^=]+)(?:=(.*))?$/s.exec(word)
    if (!match) {
      throw new ConfigError(word, `"${word}" is not an option.`, 'Options start with two dashes; see --help.')
    }
    const name = match[1]!
    const positive = byFlag.get(name)
    const negated = name.startsWith('no-') ? byFlag.get(name.slice(3)) : undefined
    if (!positive && negated?.kind === 'boolean') {
      given.set(name.slice(3), 'false')
    } else if (!positive) {
      const known = [...byFlag.keys()].map((flag) => `--${flag}`).join(', ')
      throw new ConfigError(`--${name}`, `There is no option --${name}.`, `Known options: ${known}.`)
    } else if (match[2] !== undefined) {
      given.set(name, match[2])
    } else if (positive.kind === 'boolean') {
      given.set(name, 'true')
    } else {
      index += 1
      const value = argv[index]
      if (value === undefined) {
        throw new ConfigError(
          `--${name}`,
          `--${name} needs a value (${positive.kind}).`,
          `Write --${name} <${positive.kind}>.`,
        )
      }
      given.set(name, value)
    }
  }
  return given
}

function readOption(
  option: Option<unknown>,
  flags: ReadonlyMap<string, string>,
  env: Readonly<Record<string, string | undefined>>,
): unknown {
  const flagged = option.flag === null ? undefined : flags.get(option.flag)
  const text = flagged ?? env[option.env]
  if (text === undefined) {
    if (option.fallback !== undefined) return option.fallback
    const ways = option.flag === null ? option.env : `--${option.flag} or ${option.env}`
    throw new ConfigError(ways, `${ways} is required: ${option.prose}`, `Set ${ways}.`)
  }
  const parsed = option.parse(text.trim())
  if ('value' in parsed) return parsed.value
  const source = flagged === undefined ? option.env : `--${option.flag}`
  throw new ConfigError(
    source,
    option.secret ? `The value of ${source} cannot be used.` : `${source} cannot be "${text}".`,
    `Give ${parsed.expected}${option.formatted === null ? '' : ` (default ${option.formatted})`}.`,
  )
}

/**
 * Reads every option once: a flag beats a variable, a variable beats the default.
 *
 * @param argv - words after the script's name
 * @throws ConfigError naming the option, its value and the remedy
 */
export function readConfig<T extends OptionTable>(
  table: T,
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Config<T> {
  const flags = splitFlags(table, argv)
  return Object.fromEntries(
    Object.entries(table).map(([name, option]) => [name, readOption(option, flags, env)]),
  ) as Config<T>
}

/** The table as help text, one option a paragraph. */
export function describeOptions(table: OptionTable): string {
  return Object.values(table)
    .map((option) => {
      const flag =
        option.flag === null ? '' : `--${option.flag}${option.kind === 'boolean' ? '' : ` <${option.kind}>`}`
      const fallback =
        option.formatted === null
          ? option.fallback === undefined
            ? ' Required.'
            : ''
          : ` Default: ${option.formatted}.`
      return `  ${flag}${flag ? ', ' : ''}${option.env}\n      ${option.prose}${fallback}`
    })
    .join('\n')
}
