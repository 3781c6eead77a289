import { DomainError } from '@deos/domain'
import type { z } from 'zod'

export const places = ['body', 'query', 'path', 'header'] as const
export type Place = (typeof places)[number]

/** What is wrong with one field. Never holds the value: it may be a secret. */
export interface FieldProblem {
  readonly in: Place
  /** `spec.replicas.min`, `scopes[0]`; empty if the whole of its place is meant. */
  readonly field: string
  readonly message: string
}

/** Problems named in one answer; what has more is wrong altogether. */
const listedProblems = 20
const fieldLength = 120

/** Input that does not fit its schema. */
export class ValidationError extends DomainError {
  readonly code = 'VALIDATION_FAILED'
  readonly retriable = false
  readonly fields: readonly FieldProblem[]
  /** Problems beside those in `fields`. */
  readonly more: number

  constructor(problems: readonly FieldProblem[]) {
    const fields = problems.slice(0, listedProblems)
    const first = fields[0]
    const where = first === undefined ? 'The request' : describePlace(first)
    const others = problems.length > 1 ? ` ${problems.length - 1} more fields are not valid.` : ''
    super(
      `${where}: ${first?.message ?? 'is not valid'}.${others}`,
      'Correct what is named and send it again; /api/v1/openapi.json describes every field.',
    )
    this.fields = fields
    this.more = problems.length - fields.length
  }
}

const describePlace = ({ in: place, field }: FieldProblem): string =>
  field === '' ? `The ${place}` : `${field} (${place})`

/** Names come from the sender where a record's keys are free: cut, and without control characters. */
const printable = (name: string): string => name.replace(/[\p{C}]/gu, '�').slice(0, fieldLength)

function fieldOf(path: readonly PropertyKey[]): string {
  const text = path.reduce<string>((before, key) => {
    if (typeof key === 'number') return `${before}[${key}]`
    return before === '' ? String(key) : `${before}.${String(key)}`
  }, '')
  return printable(text)
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1)

function messageOf(issue: z.core.$ZodIssue): string {
  // Its own message is a list of what each option misses.
  if (issue.code === 'invalid_union') return 'fits none of the allowed forms'
  if (issue.code === 'invalid_type' && /received undefined$/.test(issue.message)) return 'is required'
  return lowerFirst(issue.message).replace(/\.$/, '')
}

function problemsOfIssue(place: Place, issue: z.core.$ZodIssue): readonly FieldProblem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      in: place,
      field: fieldOf([...issue.path, key]),
      message: 'is not a field here',
    }))
  }
  return [{ in: place, field: fieldOf(issue.path), message: messageOf(issue) }]
}

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly FieldProblem[] }

/** Checks without throwing, so that the problems of several places can be told together. */
export function checkInput<S extends z.ZodType>(
  schema: S,
  input: unknown,
  place: Place,
): Parsed<z.output<S>> {
  const result = schema.safeParse(input)
  if (result.success) return { ok: true, value: result.data }
  return { ok: false, problems: result.error.issues.flatMap((issue) => problemsOfIssue(place, issue)) }
}

/** @throws ValidationError naming each field that does not fit */
export function parseInput<S extends z.ZodType>(schema: S, input: unknown, place: Place): z.output<S> {
  const parsed = checkInput(schema, input, place)
  if (!parsed.ok) throw new ValidationError(parsed.problems)
  return parsed.value
}
