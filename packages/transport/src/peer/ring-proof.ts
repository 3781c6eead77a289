import { createHmac, timingSafeEqual } from 'node:crypto'

/**
 * Shows on one channel of one connection, and nowhere else, that this end knows the ring's secret, or a guest's key.
 *
 * @param key - from `ringKey`, or `guestKey`
 * @param ring - as the channel was opened: a guest's name is a part of it
 */
export function ringProof(
  key: Uint8Array,
  binding: Uint8Array,
  ring: string,
  channel: number,
  side: 'open' | 'accept',
): Buffer {
  const number = Buffer.allocUnsafe(4)
  number.writeUInt32LE(channel)
  return createHmac('sha256', key).update(binding).update(side).update(number).update(ring).digest()
}

export const isSameProof = (proof: Uint8Array, expected: Uint8Array): boolean =>
  proof.length === expected.length && timingSafeEqual(proof, expected)
