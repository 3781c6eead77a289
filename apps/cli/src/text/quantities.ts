const scales = [
  { limit: 1e15, suffix: 'P' },
  { limit: 1e12, suffix: 'T' },
  { limit: 1e9, suffix: 'G' },
  { limit: 1e6, suffix: 'M' },
  { limit: 1e3, suffix: 'k' },
] as const

/** Decimal prefixes, three digits: `7.0 M`, `1.24 G`, `512`. */
export function formatCount(value: number): string {
  const scale = scales.find(({ limit }) => value >= limit)
  if (!scale) return String(Math.round(value))
  const scaled = value / scale.limit
  return `${scaled.toFixed(scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2)} ${scale.suffix}`
}

/** `850 ms`, `12.3 s`, `4 min 5 s`. */
export function formatMilliseconds(durationMs: number): string {
  if (durationMs < 1000) return `${Math.round(durationMs)} ms`
  const seconds = durationMs / 1000
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
}

export const formatPercent = (share: number): string => `${Math.floor(share * 100)}%`
