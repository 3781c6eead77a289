import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { MachineKeyError, openIdentity } from './machine-identity.ts'

const root = mkdtempSync(join(tmpdir(), 'deos-identity-'))
afterAll(() => rmSync(root, { recursive: true }))

const modeOf = (path: string) => statSync(path).mode & 0o777

test('a key is made once, for its owner only, and signs what its public half verifies', async () => {
  const folder = join(root, 'fresh', 'machine')
  const identity = await openIdentity(folder)
  expect(readdirSync(folder)).toEqual(['key.pem'])
  expect(modeOf(join(folder, 'key.pem'))).toBe(0o600)
  expect(identity.publicKey).toMatch(/^[A-Za-z0-9_-]{43}$/)
  const signature = identity.signText('challenge ü')
  expect(signature).toMatch(/^[A-Za-z0-9_-]{86}$/)
  const key = createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: identity.publicKey },
    format: 'jwk',
  })
  expect(verify(null, Buffer.from('challenge ü'), key, Buffer.from(signature, 'base64url'))).toBe(true)
  expect((await openIdentity(folder)).publicKey).toBe(identity.publicKey)
})

test('two that make a key at once use the same', async () => {
  const folder = join(root, 'race')
  const keys = await Promise.all([openIdentity(folder), openIdentity(folder), openIdentity(folder)])
  expect(new Set(keys.map(({ publicKey }) => publicKey)).size).toBe(1)
  expect(readdirSync(folder)).toEqual(['key.pem'])
})

test('a key that others could read is closed to them', async () => {
  const folder = join(root, 'open')
  await openIdentity(folder)
  chmodSync(join(folder, 'key.pem'), 0o644)
  await openIdentity(folder)
  expect(modeOf(join(folder, 'key.pem'))).toBe(0o600)
})

test.each([
  ['broken', 'nonsense', /is not a private key/],
  [
    'rsa',
    generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({
      type: 'pkcs8',
      format: 'pem',
    }) as string,
    /is of type rsa/,
  ],
])('a file that is no key is refused, and kept (%s)', async (name, text, message) => {
  const folder = join(root, name)
  mkdirSync(folder)
  writeFileSync(join(folder, 'key.pem'), text)
  await expect(openIdentity(folder)).rejects.toThrow(MachineKeyError)
  await expect(openIdentity(folder)).rejects.toThrow(message)
  expect(readFileSync(join(folder, 'key.pem'), 'utf8')).toBe(text)
})
