import { randomBytes } from 'node:crypto'
import type { Random } from '@deos/domain'

/** Uniform numbers with 53 random bits from the system's generator. */
export const systemRandom: Random = {
  next() {
    const bits = randomBytes(8).readBigUInt64LE() >> 11n
    return Number(bits) / 2 ** 53
  },
}

/** An unsigned 64-bit integer as a decimal string: a fresh sampling seed. */
export const randomSeed = (): string => randomBytes(8).readBigUInt64LE().toString()
