import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { Challenges } from './challenges.ts'
import { fingerprintOf, isSignedBy, keyBytes } from './machine-key.ts'

const key = randomBytes(32)
const challenges = new Challenges(randomBytes(32))
const nowMs = 1_700_000_000_000

describe('challenges', () => {
  test('are good for their key and incarnation, for a minute, at every control plane', () => {
    const secret = randomBytes(32)
    const { challenge, expiresAtMs } = new Challenges(secret).issue(key, 3, nowMs)
    expect(expiresAtMs).toBe(nowMs + 60_000)
    expect(() => new Challenges(secret).check(challenge, key, 3, nowMs + 59_999)).not.toThrow()
  })

  test.each<[string, (issued: string) => readonly [string, Buffer, number, number]]>([
    ['another key', (issued) => [issued, randomBytes(32), 3, nowMs]],
    ['another incarnation', (issued) => [issued, key, 4, nowMs]],
    ['a later end', (issued) => [issued.replace(/^\d+/, String(nowMs + 1e9)), key, 3, nowMs]],
    ['a changed incarnation', (issued) => [issued.replace('.3.', '.4.'), key, 4, nowMs]],
    ['another secret', () => [new Challenges(randomBytes(32)).issue(key, 3, nowMs).challenge, key, 3, nowMs]],
    ['nonsense', () => ['x'.repeat(60), key, 3, nowMs]],
  ])('are refused with %s', (_, change) => {
    const { challenge } = challenges.issue(key, 3, nowMs)
    expect(() => challenges.check(...change(challenge))).toThrow(/not made for this key and incarnation/)
  })

  test('expire', () => {
    const { challenge } = challenges.issue(key, 0, nowMs)
    expect(() => challenges.check(challenge, key, 0, nowMs + 62_000)).toThrow(/expired 2 s ago/)
  })
})

describe('keys', () => {
  const pair = generateKeyPairSync('ed25519')
  const x = pair.publicKey.export({ format: 'jwk' }).x!
  const signature = sign(null, Buffer.from('words'), pair.privateKey).toString('base64url')

  test('prove what they signed and nothing else', () => {
    expect(isSignedBy(keyBytes(x), 'words', signature)).toBe(true)
    expect(isSignedBy(keyBytes(x), 'other words', signature)).toBe(false)
    expect(isSignedBy(keyBytes(x), 'words', 'B'.repeat(86))).toBe(false)
    expect(isSignedBy(randomBytes(32), 'words', signature)).toBe(false)
    expect(isSignedBy(randomBytes(31), 'words', signature)).toBe(false)
  })

  test('have the SHA-256 of their bytes as fingerprint', () => {
    // SHA-256 of 32 zero bytes.
    expect(fingerprintOf(keyBytes('A'.repeat(43)))).toBe(
      '66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925',
    )
  })
})
