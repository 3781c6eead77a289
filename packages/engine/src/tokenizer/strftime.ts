const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const months = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]

const two = (value: number): string => String(value).padStart(2, '0')
const hour12 = (date: Date): number => date.getUTCHours() % 12 || 12
const dayOfYear = (date: Date): number =>
  (Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()) -
    Date.UTC(date.getUTCFullYear(), 0, 0)) /
  86_400_000

const fields: Readonly<Record<string, (date: Date) => string>> = {
  a: (date) => days[date.getUTCDay()]!.slice(0, 3),
  A: (date) => days[date.getUTCDay()]!,
  b: (date) => months[date.getUTCMonth()]!.slice(0, 3),
  B: (date) => months[date.getUTCMonth()]!,
  d: (date) => two(date.getUTCDate()),
  '-d': (date) => String(date.getUTCDate()),
  F: (date) => strftime(date, '%Y-%m-%d'),
  H: (date) => two(date.getUTCHours()),
  I: (date) => two(hour12(date)),
  j: (date) => String(dayOfYear(date)).padStart(3, '0'),
  m: (date) => two(date.getUTCMonth() + 1),
  '-m': (date) => String(date.getUTCMonth() + 1),
  M: (date) => two(date.getUTCMinutes()),
  p: (date) => (date.getUTCHours() < 12 ? 'AM' : 'PM'),
  S: (date) => two(date.getUTCSeconds()),
  T: (date) => strftime(date, '%H:%M:%S'),
  y: (date) => two(date.getUTCFullYear() % 100),
  Y: (date) => String(date.getUTCFullYear()),
  Z: () => 'UTC',
  '%': () => '%',
}

/** C's `strftime` in UTC and English, so that a template renders the same everywhere; unknown fields stay as they are. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?[A-Za-z%])/g, (field, name: string) => fields[name]?.(date) ?? field)
}
