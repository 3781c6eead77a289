import { ProblemError } from '@deos/api'
import { fingerprintOf, keyBytes } from './machine-key.ts'

/**
 * A machine may not send others to a machine with another key. An address without a key claims nothing.
 *
 * @param fingerprint - of the machine that says where it is reached
 * @throws ProblemError naming the key
 */
export function assertOwnAddress(fingerprint: string, address: string | null): void {
  const [, key] = /;key=([A-Za-z0-9_-]{43})(?:;|$)/.exec(address ?? '') ?? []
  if (key === undefined || fingerprintOf(keyBytes(key)) === fingerprint) return
  throw new ProblemError('forbidden', `The address names the key ${key}, which is not that of the machine.`, {
    code: 'ADDRESS_FOREIGN',
    hint: 'Give addresses with the key that the machine joined with.',
  })
}
