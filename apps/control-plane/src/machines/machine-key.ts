import { createHash, createPublicKey, verify } from 'node:crypto'

/** The 32 bytes of an Ed25519 key, from base64url. */
export const keyBytes = (publicKey: string): Buffer => Buffer.from(publicKey, 'base64url')

/** SHA-256 of the key's bytes: the machine's identity. */
export const fingerprintOf = (key: Buffer): string => createHash('sha256').update(key).digest('hex')

/** Whether the owner of the key signed the text; false also for what is no key at all. */
export function isSignedBy(key: Buffer, text: string, signature: string): boolean {
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: key.toString('base64url') }
  try {
    const publicKey = createPublicKey({ key: jwk, format: 'jwk' })
    return verify(null, Buffer.from(text), publicKey, Buffer.from(signature, 'base64url'))
  } catch {
    return false
  }
}
