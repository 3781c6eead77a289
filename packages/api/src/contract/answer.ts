import { z } from 'zod'
import { component } from './registry.ts'

/** One JSON document. */
export interface JsonAnswer<S extends z.ZodType = z.ZodType> {
  readonly kind: 'json'
  readonly status: 200 | 201 | 202
  readonly schema: S
}

type PageSchema<S extends z.ZodType> = z.ZodObject<{
  items: z.ZodArray<S>
  nextCursor: z.ZodNullable<z.ZodString>
}>

/** Some of a list, and a cursor to the rest. */
export interface PageAnswer<S extends z.ZodType = z.ZodType> {
  readonly kind: 'page'
  readonly status: 200
  readonly schema: PageSchema<S>
}

/** Server-sent events, each one JSON document. */
export interface StreamAnswer<S extends z.ZodType = z.ZodType> {
  readonly kind: 'stream'
  readonly status: 200
  readonly event: S
}

/** Bytes as they are; a `range` header asks for some of them. */
export interface BytesAnswer {
  readonly kind: 'bytes'
  readonly status: 200
  readonly contentType: string
}

export interface EmptyAnswer {
  readonly kind: 'empty'
  readonly status: 204
}

export type Answer = JsonAnswer | PageAnswer | StreamAnswer | BytesAnswer | EmptyAnswer

export const json = <S extends z.ZodType>(schema: S, status: 200 | 202 = 200): JsonAnswer<S> => ({
  kind: 'json',
  status,
  schema,
})

export const created = <S extends z.ZodType>(schema: S): JsonAnswer<S> => ({
  kind: 'json',
  status: 201,
  schema,
})

/** @param id - name of the page's schema in the document */
export const page = <S extends z.ZodType>(id: string, item: S): PageAnswer<S> => ({
  kind: 'page',
  status: 200,
  schema: component(
    id,
    z.object({ items: z.array(item), nextCursor: z.string().nullable() }),
    '`nextCursor` goes into `cursor` of the next call; null ends the list.',
  ),
})

export const stream = <S extends z.ZodType>(event: S): StreamAnswer<S> => ({
  kind: 'stream',
  status: 200,
  event,
})

export const byteStream = (contentType: string): BytesAnswer => ({ kind: 'bytes', status: 200, contentType })

export const empty: EmptyAnswer = { kind: 'empty', status: 204 }
