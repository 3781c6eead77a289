import { type Clock, ms } from '@deos/domain'

/** The machine's monotonic clock. */
export const systemClock: Clock = { now: () => ms(performance.now()) }

/** Seconds since 1970, for fields that people and other programs read. */
export const unixSeconds = (): number => Math.floor(Date.now() / 1000)
