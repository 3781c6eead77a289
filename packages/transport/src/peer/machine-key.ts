import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto'

/** What a machine proves itself with. */
export interface MachineKey {
  /** Ed25519, 32 bytes in base64url. */
  readonly publicKey: string
  /** @returns 64 bytes */
  sign(bytes: Uint8Array): Uint8Array
}

const PUBLIC_KEY = /^[A-Za-z0-9_-]{43}$/

export const isPublicKey = (text: string): boolean => PUBLIC_KEY.test(text)

/** @param pem - private key in PKCS#8 @throws RangeError if it is not an Ed25519 key */
export const machineKey = (pem: string): MachineKey => fromPrivate(createPrivateKey(pem))

const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex')

/** @param seed - 32 random bytes that make the same key again */
export const seededKey = (seed: Uint8Array): MachineKey =>
  fromPrivate(createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), format: 'der', type: 'pkcs8' }))

/** For who needs no lasting name, as gateways do: what they may is proved by ring secrets. */
export const passingKey = (): MachineKey => fromPrivate(generateKeyPairSync('ed25519').privateKey)

function fromPrivate(key: KeyObject): MachineKey {
  if (key.asymmetricKeyType !== 'ed25519')
    throw new RangeError(`A machine key is of type ed25519, not ${key.asymmetricKeyType}.`)
  const { x } = key.export({ format: 'jwk' })
  return { publicKey: x!, sign: (bytes) => sign(null, bytes, key) }
}

export function isSignedBy(publicKey: string, bytes: Uint8Array, signature: Uint8Array): boolean {
  try {
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey }, format: 'jwk' })
    return verify(null, bytes, key, signature)
  } catch {
    return false // not a point of the curve
  }
}
