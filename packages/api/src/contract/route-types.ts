import type { z } from 'zod'
import type { BytesAnswer, EmptyAnswer, JsonAnswer, PageAnswer, StreamAnswer } from './answer.ts'
import type { Route } from './route.ts'

export type DeepReadonly<T> = T extends string | number | boolean | null | undefined
  ? T
  : T extends readonly (infer E)[]
    ? readonly DeepReadonly<E>[]
    : T extends object
      ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
      : T

/** What the server's side of a route is given, checked. */
export interface RequestOf<R extends Route> {
  readonly params: { readonly [K in keyof R['params']]: z.output<R['params'][K]> }
  readonly query: R['query'] extends z.ZodType ? Readonly<z.output<R['query']>> : null
  readonly body: R['body'] extends z.ZodType ? DeepReadonly<z.output<R['body']>> : null
  /** Of the caller's choosing; null if none was sent. */
  readonly idempotencyKey: string | null
  /** The last event that a reader who comes back has seen. */
  readonly lastEventId: string | null
}

/** An event of a stream with the id from which a reader can go on; null leaves the last one standing. */
export interface StreamEvent<T> {
  readonly id: string | null
  readonly data: T
}

/** What the server's side of a route hands back. */
export type AnswerOf<R extends Route> =
  R['answer'] extends PageAnswer<infer S>
    ? { readonly items: readonly DeepReadonly<z.input<S>>[]; readonly nextCursor: string | null }
    : R['answer'] extends JsonAnswer<infer S>
      ? DeepReadonly<z.input<S>>
      : R['answer'] extends StreamAnswer<infer S>
        ? AsyncIterable<StreamEvent<DeepReadonly<z.input<S>>>>
        : R['answer'] extends BytesAnswer
          ? AsyncIterable<Uint8Array>
          : R['answer'] extends EmptyAnswer
            ? undefined
            : never

/** What a client gets from a route. */
export type ResultOf<R extends Route> =
  R['answer'] extends PageAnswer<infer S>
    ? Page<z.output<S>>
    : R['answer'] extends JsonAnswer<infer S>
      ? DeepReadonly<z.output<S>>
      : R['answer'] extends StreamAnswer<infer S>
        ? AsyncIterable<StreamEvent<DeepReadonly<z.output<S>>>>
        : R['answer'] extends BytesAnswer
          ? Promise<AsyncIterable<Uint8Array>>
          : R['answer'] extends EmptyAnswer
            ? undefined
            : never

export interface Page<T> {
  readonly items: readonly DeepReadonly<T>[]
  readonly nextCursor: string | null
}

/** Numbers, truths and lists as themselves; text as it is sent, so that an id needs no constructor first. */
type QueryValue<Out, In> = NonNullable<Out> extends number | boolean | readonly unknown[] ? Out : In

type QueryOf<Q extends z.ZodObject> = {
  readonly [K in keyof z.output<Q>]?:
    | QueryValue<z.output<Q>[K], K extends keyof z.input<Q> ? z.input<Q>[K] : never>
    | undefined
}

type ParamsInput<R extends Route> = keyof R['params'] extends never
  ? unknown
  : { readonly params: { readonly [K in keyof R['params']]: string } }

type QueryInput<R extends Route> = R['query'] extends z.ZodObject
  ? { readonly query?: QueryOf<R['query']> | undefined }
  : unknown

type BodyInput<R extends Route> = R['body'] extends z.ZodType
  ? { readonly body: DeepReadonly<z.input<R['body']>> }
  : unknown

interface CallOptions {
  readonly signal?: AbortSignal | undefined
  /** Sent with creates, so that a call repeated after a lost answer creates nothing twice. */
  readonly idempotencyKey?: string | undefined
  /** Streams begin after this event. */
  readonly lastEventId?: string | undefined
  /** Bytes wanted, half-open: `[first, end)`. */
  readonly range?: { readonly first: number; readonly end: number } | undefined
}

/** What a caller hands over. */
export type CallOf<R extends Route> = ParamsInput<R> & QueryInput<R> & BodyInput<R> & CallOptions
