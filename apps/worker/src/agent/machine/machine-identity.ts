import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { chmod, link, mkdir, open, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DomainError } from '@deos/domain'
import type { MachineKey } from '@deos/transport'

export class MachineKeyError extends DomainError {
  readonly code = 'MACHINE_KEY'
  readonly retriable = false

  constructor(path: string, problem: string, options?: ErrorOptions) {
    super(
      `The key of this machine, ${path}, ${problem}.`,
      'Restore it from a copy, or delete it to join as a new machine.',
      options,
    )
  }
}

/** What a machine is: whoever holds its key. */
export interface MachineIdentity extends MachineKey {
  /** Of the text's UTF-8 bytes: 64 bytes in base64url. */
  signText(text: string): string
}

/**
 * The key in the folder; made at the first start, never over an existing one.
 *
 * @throws MachineKeyError if there is something else than a key
 */
export async function openIdentity(folder: string): Promise<MachineIdentity> {
  const path = join(folder, 'key.pem')
  const pem = (await readKey(path)) ?? (await createKey(path))
  const key = parseKey(path, pem)
  // A copy that came by an archive or another disk may be open to all.
  if (process.platform !== 'win32') await chmod(path, 0o600)
  const { x } = key.export({ format: 'jwk' })
  return {
    publicKey: x!,
    sign: (bytes) => sign(null, bytes, key),
    signText: (text) => sign(null, Buffer.from(text, 'utf8'), key).toString('base64url'),
  }
}

async function readKey(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new MachineKeyError(path, `cannot be read (${(cause as NodeJS.ErrnoException).code})`, { cause })
  }
}

function parseKey(path: string, pem: string): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch (cause) {
    throw new MachineKeyError(path, 'is not a private key', { cause })
  }
  if (key.asymmetricKeyType === 'ed25519') return key
  throw new MachineKeyError(path, `is of type ${key.asymmetricKeyType}, not ed25519`)
}

/** Complete or not there: it gets its name when its bytes are on disk. Of two that make one at once, both use the first. */
async function createKey(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const { privateKey } = generateKeyPairSync('ed25519')
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(pem)
    await file.sync()
  } finally {
    await file.close()
  }
  try {
    await link(draft, path)
    return pem
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return await readFile(path, 'utf8')
  } finally {
    await rm(draft)
  }
}
