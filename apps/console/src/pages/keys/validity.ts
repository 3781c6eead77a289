const dayMs = 86_400_000

/** For how many days a key works; empty is for good. */
export const validities: readonly (readonly [days: string, label: string])[] = [
  ['7', 'in a week'],
  ['30', 'in 30 days'],
  ['90', 'in 90 days'],
  ['365', 'in a year'],
  ['', 'never'],
]

/** When a key ends that works for so many days from now. */
export const endOf = (days: string): string | null =>
  days === '' ? null : new Date(Date.now() + Number(days) * dayMs).toISOString()
