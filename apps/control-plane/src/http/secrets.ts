import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/** What a secret is for stands in front of it, so that scanners and people recognise a leaked one. */
export const secretPrefixes = {
  apiKey: 'deos_k_',
  joinToken: 'deos_j_',
  machine: 'deos_m_',
  inferenceToken: 'deos_t_',
  gateway: 'deos_g_',
  invitation: 'deos_i_',
  setup: 'deos_s_',
} as const
export type SecretPrefix = (typeof secretPrefixes)[keyof typeof secretPrefixes]

const secretBytes = 32
const shownCharacters = 4

/** 32 random bytes in base64url behind the prefix. */
export const newSecret = (prefix: SecretPrefix): string =>
  prefix + randomBytes(secretBytes).toString('base64url')

/** What is stored instead of the secret. Secrets are random, so that no slow hash is needed. */
export const digestOf = (secret: string): string =>
  `sha256:${createHash('sha256').update(secret, 'utf8').digest('hex')}`

/** By which people recognise a secret: its prefix and the first characters of the rest. */
export function shownPrefix(secret: string): string {
  const prefix = /^deos_[a-z]_/.exec(secret)?.[0] ?? ''
  return secret.slice(0, prefix.length + shownCharacters)
}

/** Whether both are the same, in a time that tells nothing of where they differ. */
export const isSameSecret = (given: string, wanted: string): boolean =>
  timingSafeEqual(Buffer.from(digestOf(given)), Buffer.from(digestOf(wanted)))
