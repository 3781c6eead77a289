import { type Bytes, formatBytes } from '@deos/domain'

const locale = 'en-US'
const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 })
const short = new Intl.NumberFormat(locale, { notation: 'compact', maximumFractionDigits: 1 })

/** What is shown where there is no value. */
export const nothing = '–'

/** `12,345` */
export const formatCount = (value: number): string => whole.format(value)

/** `12.3K`: where space is short and the exact number does not matter. */
export const formatShort = (value: number): string =>
  Math.abs(value) < 1000 ? trimmed(value) : short.format(value)

/** Three digits that matter: `0.42`, `4.2`, `42.3`, `423`. */
export function trimmed(value: number): string {
  const size = Math.abs(value)
  if (size >= 100) return whole.format(value)
  const digits = size >= 10 ? 1 : 2
  return String(Number(value.toFixed(digits)))
}

export const formatPercent = (fraction: number): string => {
  const percent = fraction * 100
  return `${percent > 0 && percent < 10 ? Number(percent.toFixed(1)) : Math.round(percent)}%`
}

/** `412 µs`, `8.4 ms`, `1.2 s`, `3 min 20 s`, `2 h 5 min`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0 ms'
  if (ms < 0.1) return `${Math.round(ms * 1000)} µs`
  if (ms < 1000) return `${trimmed(ms)} ms`
  const seconds = ms / 1000
  if (seconds < 60) return `${trimmed(seconds)} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return parts(minutes, 'min', Math.floor(seconds % 60), 's')
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return parts(hours, 'h', minutes % 60, 'min')
  return parts(Math.floor(hours / 24), 'd', hours % 24, 'h')
}

const parts = (large: number, largeUnit: string, small: number, smallUnit: string): string =>
  small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`

export const formatSize = (bytes: number): string => formatBytes(bytes as Bytes)
export const formatBandwidth = (bytesPerSecond: number): string => `${formatSize(bytesPerSecond)}/s`
export const formatTokenRate = (tokensPerSecond: number): string => `${formatShort(tokensPerSecond)} tok/s`

/** Operations of floating point: `1.2 TFLOP/s`. */
export function formatFlops(flopsPerSecond: number): string {
  const units = ['FLOP/s', 'kFLOP/s', 'MFLOP/s', 'GFLOP/s', 'TFLOP/s', 'PFLOP/s']
  const step = Math.min(
    units.length - 1,
    Math.max(0, Math.floor(Math.log10(Math.max(1, flopsPerSecond)) / 3)),
  )
  return `${trimmed(flopsPerSecond / 1000 ** step)} ${units[step]}`
}

/** `8.0B`, as people name models. */
export function formatParameters(parameters: number): string {
  if (parameters >= 1e9) return `${Number((parameters / 1e9).toFixed(1))}B`
  if (parameters >= 1e6) return `${Number((parameters / 1e6).toFixed(1))}M`
  return formatCount(parameters)
}

/** `1 machine`, `2 machines`. */
export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${formatCount(count)} ${count === 1 ? one : many}`
