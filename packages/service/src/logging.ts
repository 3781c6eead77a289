import { type DestinationStream, type Logger, type LoggerOptions, pino, stdTimeFunctions } from 'pino'

export type { Logger } from 'pino'

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

export const logFormats = ['auto', 'json', 'pretty'] as const
export type LogFormat = (typeof logFormats)[number]

const secretFields = [
  'authorization',
  'Authorization',
  '["x-api-key"]',
  'cookie',
  'apiKey',
  'secret',
  'ringSecret',
  'password',
  'privateKey',
]

/** Every secret field at the top level and up to two objects deep, such as `req.headers.authorization`. */
const redactedPaths = ['', '*', '*.*'].flatMap((parent) =>
  secretFields.map((field) =>
    parent === '' || field.startsWith('[') ? `${parent}${field}` : `${parent}.${field}`,
  ),
)

export interface LoggerSettings {
  /** Name of the process: `gateway`, `worker`. */
  readonly name: string
  readonly level: LogLevel
  /** `auto` is `pretty` on a terminal and `json` elsewhere. */
  readonly format: LogFormat
}

/** Writes lines somewhere; standard error unless a test says otherwise. */
export type LogDestination = DestinationStream

const bookkeeping = new Set(['level', 'time', 'pid', 'hostname', 'name', 'msg', 'err'])

function formatValue(value: unknown): string {
  if (typeof value === 'string') return /^[\w./:@+-]+$/.test(value) ? value : JSON.stringify(value)
  return JSON.stringify(value)
}

/** One JSON log line as a line for people: `12:34:56.789 WARN  gateway message key=value`. */
export function formatLogLine(line: string): string {
  const record = JSON.parse(line) as Record<string, unknown>
  const time = typeof record.time === 'string' ? record.time.slice(11, 23) : ''
  const level = String(record.level).toUpperCase().padEnd(5)
  const fields = Object.entries(record)
    .filter(([key]) => !bookkeeping.has(key))
    .map(([key, value]) => ` ${key}=${formatValue(value)}`)
    .join('')
  const error = record.err as { stack?: string; message?: string } | undefined
  const trace = error === undefined ? '' : `\n${error.stack ?? error.message ?? formatValue(error)}`
  const message = record.msg === undefined ? '' : ` ${String(record.msg)}`
  return `${time} ${level} ${String(record.name)}${message}${fields}${trace}\n`
}

/**
 * A logger to standard error that blots out secrets. Lines are written before the call returns, so the last words
 * of a dying process are kept. `logger.child({ requestId })` marks every line of one request.
 */
export function createLogger(settings: LoggerSettings, destination?: LogDestination): Logger {
  const sink = destination ?? pino.destination({ dest: 2, sync: true })
  const pretty = settings.format === 'pretty' || (settings.format === 'auto' && process.stderr.isTTY === true)
  const options: LoggerOptions = {
    name: settings.name,
    level: settings.level,
    base: { pid: process.pid },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: redactedPaths, censor: '[redacted]' },
  }
  return pino(options, pretty ? { write: (line) => sink.write(formatLogLine(line)) } : sink)
}
