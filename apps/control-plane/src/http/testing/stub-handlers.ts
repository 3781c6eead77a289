import { everyRoute, type Handlers, type Route, type Routes, routes } from '@deos/api'
import { sampleOf, samplesOf } from '@deos/api/testing'
import type { z } from 'zod'
import type { Caller } from '../caller.ts'
import { RangedBytes } from '../ranged-bytes.ts'

/** What the byte routes of {@link stubHandlers} hold. */
export const stubBytes = new TextEncoder().encode('0123456789')

async function* eventsOf(event: z.ZodType) {
  yield { id: '1', data: sampleOf(event) }
}

function answerOf({ answer }: Route): unknown {
  switch (answer.kind) {
    case 'json':
      return sampleOf(answer.schema)
    case 'page':
      return { items: samplesOf(answer.schema.shape.items.element as z.ZodType, 2), nextCursor: null }
    case 'stream':
      return eventsOf(answer.event)
    case 'bytes':
      return new RangedBytes(stubBytes.length, async function* ({ first, end }) {
        yield stubBytes.slice(first, end)
      })
    case 'empty':
      return undefined
  }
}

export type StubCall = { readonly id: string; readonly request: unknown; readonly caller: Caller }

/** Handlers that answer with samples and tell of their calls; some may be given instead. */
export function stubHandlers(
  own: { readonly [Group in keyof Routes]?: Partial<Handlers<Routes, Caller>[Group]> } = {},
  onCall: (call: StubCall) => void = () => {},
): Handlers<Routes, Caller> {
  const groups: Record<string, Record<string, unknown>> = {}
  for (const { id, group, name, route } of everyRoute(routes)) {
    const given = (own as Record<string, Record<string, unknown> | undefined>)[group]?.[name]
    const handler = (given ?? (() => answerOf(route))) as (request: unknown, caller: Caller) => unknown
    groups[group] ??= {}
    groups[group][name] = (request: unknown, caller: Caller) => {
      onCall({ id, request, caller })
      return handler(request, caller)
    }
  }
  return groups as unknown as Handlers<Routes, Caller>
}
