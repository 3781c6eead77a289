import { hkdfSync } from 'node:crypto'
import type { RingId } from '@deos/domain'

const MIN_SECRET_BYTES = 16

/**
 * The only suite with forward secrecy, authenticated encryption and a pre-shared key alone that TLS 1.2 in Node
 * offers. TLS 1.3 would let a server answer with a certificate instead of the key, so both ends stay at 1.2.
 */
export const pskTls = {
  ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
} as const

/**
 * The TLS key of a ring, derived so that one leaked key does not reveal the secret or serve another ring.
 *
 * @throws RangeError if the secret is too short to be one
 */
export function ringKey(secret: Uint8Array, ring: RingId): Buffer {
  if (secret.byteLength < MIN_SECRET_BYTES) {
    throw new RangeError(
      `The ring secret has ${secret.byteLength} bytes; use at least ${MIN_SECRET_BYTES} random ones.`,
    )
  }
  return Buffer.from(hkdfSync('sha256', secret, 'deos link', ring, 32))
}
