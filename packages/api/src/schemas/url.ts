import { z } from 'zod'
import { exemplified } from '../contract/registry.ts'

function refusalOf(text: string): string | null {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return 'must be a whole address such as https://example.org'
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must begin with https:// or http://'
  if (url.username !== '' || url.password !== '') return 'must not hold a user name or password'
  if (url.hash !== '') return 'must not have a fragment (#)'
  return null
}

/**
 * An address that the server will call. Its form is checked here; whether the host behind it may be reached is for the
 * server to check when it has looked the name up.
 */
export const outgoingUrlSchema = exemplified(
  z
    .string()
    .max(2048)
    // Nothing that parsers drop or read differently from one another.
    .regex(
      /^[hH][tT]{2}[pP][sS]?:\/\/[^\s\\\p{Cc}\p{Cs}]+$/u,
      'must begin with https:// or http:// and hold no spaces',
    )
    .superRefine((text, context) => {
      const refusal = refusalOf(text)
      if (refusal !== null) context.addIssue({ code: 'custom', message: refusal })
    }),
  ['https://hub.example.org'],
)
