const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })

const steps: readonly (readonly [Intl.RelativeTimeFormatUnit, number])[] = [
  ['year', 365 * 86_400_000],
  ['month', 30 * 86_400_000],
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
]

/** `just now`, `40 seconds ago`, `in 3 days`. */
export function formatRelative(at: string, nowMs: number): string {
  const distanceMs = Date.parse(at) - nowMs
  const size = Math.abs(distanceMs)
  if (size < 5000) return 'just now'
  for (const [unit, ms] of steps) {
    if (size >= ms) return relative.format(Math.trunc(distanceMs / ms), unit)
  }
  return relative.format(Math.trunc(distanceMs / 1000), 'second')
}

const absolute = new Intl.DateTimeFormat('en-GB', {
  dateStyle: 'medium',
  timeStyle: 'long',
})

/** The reader's own time zone, which is named. */
export const formatAbsolute = (at: string): string => absolute.format(Date.parse(at))

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })

/** `14:03:07.120` */
export const formatClock = (at: string): string =>
  `${clock.format(Date.parse(at))}.${String(new Date(at).getUTCMilliseconds()).padStart(3, '0')}`

const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' })

/** A day in UTC: `5 Jan`. */
export const formatDay = (date: string): string => day.format(Date.parse(`${date}T00:00:00Z`))
