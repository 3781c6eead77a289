import { z } from 'zod'
import { exemplified } from './contract/registry.ts'
import { queryInteger } from './schemas/query.ts'
import { checkInput, ValidationError } from './validation.ts'

export const defaultPageSize = 50
export const maxPageSize = 200

/** Fields that every paginated list takes. */
export const pageQuery = {
  cursor: exemplified(
    z
      .string()
      .max(1024)
      .regex(/^[A-Za-z0-9_-]+$/, 'must be a cursor that this API gave'),
    ['WyJtYWNoaW5lcyIsMV0'],
  ).optional(),
  limit: queryInteger({ min: 1, max: maxPageSize }).default(defaultPageSize),
}

function encodeText(text: string): string {
  const binary = Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join('')
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

function decodeText(encoded: string): string {
  const binary = atob(encoded.replaceAll('-', '+').replaceAll('_', '/'))
  return new TextDecoder('utf-8', { fatal: true }).decode(
    Uint8Array.from(binary, (character) => character.charCodeAt(0)),
  )
}

function decodeJson(encoded: string): unknown {
  try {
    return JSON.parse(decodeText(encoded))
  } catch {
    return undefined
  }
}

/** A place in a list, as text that callers hand back unread. */
export interface CursorFormat<T> {
  encode(position: T): string
  /** @throws ValidationError if `cursor` is not one of this list */
  decode(cursor: string): T
}

/**
 * Cursors of one list: the sort keys of the last item given, in JSON and base64url. They are neither secret nor
 * signed; whoever changes one only begins elsewhere in a list that is theirs anyway.
 *
 * @param list - name of the list; cursors of others are refused
 * @param position - the sort keys
 */
export function cursorFormat<S extends z.ZodType>(list: string, position: S): CursorFormat<z.output<S>> {
  const form = z.tuple([z.literal(list), position])
  return {
    encode: (value) => encodeText(JSON.stringify([list, value])),
    decode(cursor) {
      const parsed = checkInput(form, decodeJson(cursor), 'query')
      if (parsed.ok) return parsed.value[1] as z.output<S>
      throw new ValidationError([
        {
          in: 'query',
          field: 'cursor',
          message: 'is not a cursor of this list; begin again without it',
        },
      ])
    },
  }
}
