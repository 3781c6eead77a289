import { hkdfSync } from 'node:crypto'
import type { RingId } from '@deos/domain'

const MIN_SECRET_BYTES = 16

/** How handshakes tell a guest from a member: no peer's id begins like this. */
export const GUEST_PREFIX = 'guest:'

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
  checkSecret(secret)
  return Buffer.from(hkdfSync('sha256', secret, 'deos link', ring, 32))
}

/**
 * What a worker of another ring proves at this ring's doors to be let in as a guest under that name. Whoever knows the
 * ring's secret can make it; from it nothing else follows, neither the secret nor another guest's key.
 *
 * @param machine - public key of the guest's machine, which the connection proves: nobody else can use the key then;
 *   null where links prove no machine
 * @throws RangeError if the secret is too short to be one
 */
export function guestKey(
  secret: Uint8Array,
  ring: RingId,
  guest: string,
  machine: string | null = null,
): Uint8Array {
  checkSecret(secret)
  const who = machine === null ? [ring, guest] : [ring, guest, machine]
  return new Uint8Array(hkdfSync('sha256', secret, 'deos guest', JSON.stringify(who), 32))
}

function checkSecret(secret: Uint8Array): void {
  if (secret.byteLength >= MIN_SECRET_BYTES) return
  throw new RangeError(
    `The ring secret has ${secret.byteLength} bytes; use at least ${MIN_SECRET_BYTES} random ones.`,
  )
}
