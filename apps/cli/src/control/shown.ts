import { bytes, formatBytes } from '@deos/domain'
import type { Money } from '@deos/sdk'

/** `2.50 USD`: two decimals, up to six where they are needed. */
export function shownMoney({ microUnits, currency }: Money): string {
  const negative = microUnits.startsWith('-')
  const digits = microUnits.replace('-', '').padStart(7, '0')
  const decimals = digits.slice(-6).replace(/0{1,4}$/, '')
  return `${negative ? '-' : ''}${digits.slice(0, -6)}.${decimals} ${currency}`
}

export const shownBytes = (sizeBytes: number | null): string =>
  sizeBytes === null ? '' : formatBytes(bytes(sizeBytes))

const units = [
  { afterMs: 86_400_000, name: 'd' },
  { afterMs: 3_600_000, name: 'h' },
  { afterMs: 60_000, name: 'min' },
  { afterMs: 0, name: 's' },
] as const

/** `12 s ago`, `3 h ago`; empty if it never was. */
export function shownAge(at: string | null, now: Date): string {
  if (at === null) return ''
  const ageMs = Math.max(0, now.getTime() - Date.parse(at))
  const unit = units.find(({ afterMs }) => ageMs >= afterMs)!
  return `${Math.floor(ageMs / (unit.afterMs || 1000))} ${unit.name} ago`
}

/**
 * Text from elsewhere in one line that a terminal only shows: control characters, which could move the cursor or hide
 * text, become visible.
 */
export const shownLine = (text: string): string =>
  text
    .replaceAll('\n', '↵')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, '�')
