declare const unit: unique symbol

/** A number that knows its unit. Arithmetic falls back to `number`, so each result is named again on purpose. */
export type Quantity<U extends string> = number & { readonly [unit]: U }

export type Bytes = Quantity<'bytes'>
export type BytesPerSecond = Quantity<'bytes/s'>
export type Milliseconds = Quantity<'ms'>
export type Tokens = Quantity<'tokens'>
export type TokensPerSecond = Quantity<'tokens/s'>

export const bytes = (n: number): Bytes => n as Bytes
export const bytesPerSecond = (n: number): BytesPerSecond => n as BytesPerSecond
export const ms = (n: number): Milliseconds => n as Milliseconds
export const tokens = (n: number): Tokens => n as Tokens
export const tokensPerSecond = (n: number): TokensPerSecond => n as TokensPerSecond

export const KiB = 1024
export const MiB = 1024 * KiB
export const GiB = 1024 * MiB

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** `formatBytes(bytes(1536))` is `1.5 KiB`. */
export function formatBytes(size: Bytes): string {
  let value: number = size
  let index = 0
  while (Math.abs(value) >= 1024 && index < byteUnits.length - 1) {
    value /= 1024
    index += 1
  }
  const digits = index === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2
  return `${Number(value.toFixed(digits))} ${byteUnits[index]}`
}

const sizePattern = /^(\d+(?:\.\d+)?)\s*(b|k|kb|kib|m|mb|mib|g|gb|gib|t|tb|tib)?$/i
const sizeScale: Readonly<Record<string, number>> = { b: 1, k: KiB, m: MiB, g: GiB, t: 1024 * GiB }

/**
 * Reads a size as people write it: `512M`, `1.5 GiB`, `4096`. Every unit is a power of 1024.
 *
 * @throws RangeError if the text is not a size
 */
export function parseBytes(text: string): Bytes {
  const match = sizePattern.exec(text.trim())
  if (!match) throw new RangeError(`"${text}" is not a size; write for example 512M or 1.5G.`)
  const scale = sizeScale[(match[2] ?? 'b').charAt(0).toLowerCase()] ?? 1
  return bytes(Math.round(Number(match[1]) * scale))
}
