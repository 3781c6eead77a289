import { randomBytes } from 'node:crypto'
import type { IdSource } from '@deos/domain'

const alphabet = '0123456789abcdefghijklmnopqrstuv'

/** `prefix-` and 24 characters holding 120 random bits. */
export const systemIds: IdSource = {
  next(prefix) {
    const characters = Array.from(randomBytes(24), (byte) => alphabet[byte & 31])
    return `${prefix}-${characters.join('')}`
  },
}
