import { expect, test } from 'vitest'
import { fingerprintOf, keyBytes } from './machine-key.ts'
import { assertOwnAddress } from './own-address.ts'

const own = 'A'.repeat(43)
const other = `B${'A'.repeat(42)}`
const fingerprint = fingerprintOf(keyBytes(own))
const circuit = 'circuit=0123456789abcdef'

test('an address names the machine that gives it, or nobody', () => {
  for (const address of [null, 'h:1', `h:1;key=${own}`, `h:1;key=${own};${circuit}`]) {
    expect(() => assertOwnAddress(fingerprint, address)).not.toThrow()
  }
})

test('an address that names another machine is refused by that key', () => {
  for (const address of [`h:1;key=${other}`, `h:1;key=${other};${circuit}`]) {
    expect(() => assertOwnAddress(fingerprint, address)).toThrow(other)
  }
})
