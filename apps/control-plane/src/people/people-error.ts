import { ProblemError, type UserId, ValidationError } from '@deos/api'
import type { Caller } from '../http/caller.ts'

/** Says the same of what never was, what is gone, and what is another organisation's. */
export const notFound = (what: string): ProblemError =>
  new ProblemError('not-found', `There is no such ${what}.`)

export const conflict = (code: string, detail: string, hint: string): ProblemError =>
  new ProblemError('conflict', detail, { code, hint })

export const invalid = (field: string, message: string): ValidationError =>
  new ValidationError([{ in: 'body', field, message }])

/** Routes that concern the signed-in person let nobody else through. */
export function userOf({ userId }: Caller): UserId {
  if (userId === null) throw new Error('The caller is not a person.')
  return userId
}
