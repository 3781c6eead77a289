import { randomBytes } from 'node:crypto'
import type { IdSource } from '@deos/domain'

const alphabet = '0123456789abcdefghijklmnopqrstuv'

const idBytes = 24
/** Random bytes are cheap by the hundred: every request takes an id. */
const pool = { bytes: randomBytes(0), used: 0 }

/** `prefix-` and 24 characters holding 120 random bits. */
export const systemIds: IdSource = {
  next(prefix) {
    if (pool.used === pool.bytes.byteLength) {
      pool.bytes = randomBytes(256 * idBytes)
      pool.used = 0
    }
    let id = `${prefix}-`
    const end = pool.used + idBytes
    while (pool.used < end) {
      id += alphabet[pool.bytes[pool.used]! & 31]
      pool.used += 1
    }
    return id
  },
}
