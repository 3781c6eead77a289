import { z } from 'zod'
import { exemplified } from '../contract/registry.ts'

// Neither control characters, half characters, nor marks that turn the direction of what follows.
const lineCharacters = '[^\\p{Cc}\\p{Cs}\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069]'

/** One line that people read and write. */
export const line = (maxLength: number) =>
  exemplified(
    z
      .string()
      .trim()
      .min(1)
      .max(maxLength)
      .regex(new RegExp(`^${lineCharacters}*$`, 'u'), 'must be one line without control characters'),
    ['Northern lab', 'Workshop', 'Attic'],
  )

/** Several lines, possibly none. */
export const paragraph = (maxLength: number) =>
  z
    .string()
    .max(maxLength)
    .regex(/^(?:[^\p{Cc}\p{Cs}]|[\n\t])*$/u, 'must not have control characters')

/** Sentences that the system wrote. */
export const sentence = () =>
  exemplified(z.string(), ['Everything runs as it should.', 'Heartbeats stopped.'])

/** Names in addresses and commands: as parts of host names. */
export const slugSchema = exemplified(
  z
    .string()
    .regex(
      /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
      'must be 1 to 63 lower-case letters, digits and "-", beginning and ending with a letter or digit',
    ),
  ['chat', 'search', 'translate'],
)

export const emailSchema = exemplified(z.email('must be an e-mail address').max(254).toLowerCase(), [
  'ada@example.org',
  'grace@example.org',
  'alan@example.org',
])

const wordMessage = 'must be made of letters, digits, ".", "_" and "-", beginning with a letter or digit'

/** One part of a model's name: never `.` or `..`, and never hidden. */
const modelWord = '[A-Za-z0-9](?!.*\\.\\.)[A-Za-z0-9._-]{0,95}'

/** `Qwen3-8B`, `mistralai/Mistral-7B-v0.3:q4`; names of files are made from it, so nothing in it climbs. */
export const modelNameSchema = exemplified(
  z
    .string()
    .max(200)
    .regex(
      new RegExp(`^${modelWord}(?:/${modelWord}){0,2}(?::[A-Za-z0-9][A-Za-z0-9_-]{0,31})?$`),
      `${wordMessage}; "/" may part it and ".." is not allowed`,
    ),
  ['nano-chat', 'example/tiny-8b', 'example/tiny-8b:q8_0'],
)

/** Regions and providers: compared for equality, chosen by operators. */
export const locationWordSchema = exemplified(
  z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, wordMessage),
  ['eu-north', 'us-west', 'ap-south'],
)

/** `1.4.0`, `0.9.0-beta.2`. */
export const versionSchema = exemplified(
  z
    .string()
    .max(64)
    .regex(/^\d{1,6}\.\d{1,6}\.\d{1,6}(?:[-+][0-9A-Za-z.+-]{1,40})?$/, 'must be a version such as 1.4.0'),
  ['0.1.0'],
)

/** SHA-256 of some bytes. */
export const digestSchema = exemplified(
  z.string().regex(/^sha256:[0-9a-f]{64}$/, 'must be "sha256:" and 64 hexadecimal digits'),
  [`sha256:${'0f'.repeat(32)}`, `sha256:${'1e'.repeat(32)}`, `sha256:${'2d'.repeat(32)}`],
)

/** Something that is shown once and never again. */
export const secretSchema = (prefix: string) =>
  exemplified(z.string().min(16).max(512), [`${prefix}${'x'.repeat(24)}`])
