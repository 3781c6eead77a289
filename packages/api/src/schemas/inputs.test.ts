import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { z } from 'zod'
import { everyRoute } from '../contract/every-route.ts'
import { problemFor, problemSchema } from '../problem.ts'
import { routes } from '../routes/index.ts'
import { sampleOf } from '../testing/sample.ts'
import { checkInput, ValidationError } from '../validation.ts'

const secret = 'hunter2-do-not-repeat'

const odd = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom(
    ...[
      -1,
      0,
      0.1,
      1e308,
      2 ** 53,
      '',
      '\ud800',
      '\u0000',
      '..',
      '../../etc/passwd',
      '__proto__',
      null,
      true,
    ],
    ...[[], {}, [[]], [{}], 'x'.repeat(10_000), 'http://user:pass@host', secret],
  ),
)

const changes = fc.array(fc.record({ at: fc.nat(), key: fc.option(fc.string()), value: odd }), {
  minLength: 1,
  maxLength: 3,
})
type Change = { readonly at: number; readonly key: string | null; readonly value: unknown }

/** Every container in a JSON value. */
function containers(value: unknown): Record<string, unknown>[] {
  if (typeof value !== 'object' || value === null) return []
  return [value as Record<string, unknown>, ...Object.values(value).flatMap(containers)]
}

/** A valid input in which something was replaced, added or put where it does not belong. */
function spoil(valid: unknown, list: readonly Change[]): unknown {
  const copy = structuredClone(valid)
  for (const { at, key, value } of list) {
    const all = containers(copy)
    const target = all[at % Math.max(1, all.length)]
    if (target === undefined) return value
    const keys = Object.keys(target)
    const name = key ?? keys[at % Math.max(1, keys.length)] ?? '0'
    if (Array.isArray(target) && !/^\d$/.test(name)) continue
    // Not by assignment: `__proto__` is to be a field like others.
    const own = { value: structuredClone(value), enumerable: true, configurable: true, writable: true }
    Object.defineProperty(target, name, own)
  }
  return JSON.parse(JSON.stringify(copy))
}

/** As bodies and query strings are sent. */
const rewritten = {
  body: (value: unknown): unknown => JSON.parse(JSON.stringify(value)),
  query: (value: unknown): unknown =>
    Object.fromEntries(
      Object.entries(value as object).map(([key, item]) => [key, Array.isArray(item) ? item : String(item)]),
    ),
}

function expectAnswered(schema: z.ZodType, input: unknown, place: 'body' | 'query'): void {
  const parsed = checkInput(schema, input, place)
  if (parsed.ok) {
    // What was accepted is accepted again and means the same.
    const again = checkInput(schema, rewritten[place](parsed.value), place)
    expect(again).toEqual({ ok: true, value: parsed.value })
    return
  }
  expect(parsed.problems.length).toBeGreaterThan(0)
  const problem = problemFor(new ValidationError(parsed.problems), {}, null)
  expect(problemSchema.safeParse(problem).success).toBe(true)
  expect(problem.status).toBe(400)
}

const inputs = everyRoute(routes).flatMap(({ id, route }) => {
  const body = route.body === null ? [] : [{ name: `${id} body`, place: 'body' as const, schema: route.body }]
  const query =
    route.query === null
      ? []
      : [{ name: `${id} query`, place: 'query' as const, schema: route.query as z.ZodType }]
  return [...body, ...query]
})

describe.each(inputs)('$name', ({ schema, place }) => {
  test('random JSON and spoiled samples are answered, never thrown over', () => {
    const valid = checkInput(schema, {}, 'body').ok ? {} : sampleOf(schema)
    fc.assert(
      fc.property(
        fc.oneof(
          odd,
          changes.map((list) => spoil(valid, list)),
        ),
        (input) => {
          expectAnswered(schema, input, place)
        },
      ),
      { numRuns: 60 },
    )
  })
})

test.each(inputs.filter(({ name }) => name.endsWith('body')))(
  '$name: values are not repeated',
  ({ schema }) => {
    const valid = sampleOf(schema)
    const hide = (value: unknown): unknown =>
      Array.isArray(value)
        ? value.map(hide)
        : typeof value === 'object' && value !== null
          ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, hide(item)]))
          : secret
    for (const input of [secret, [secret], hide(valid), { ...(hide(valid) as object), more: secret }]) {
      const parsed = checkInput(schema, input, 'body')
      if (parsed.ok) continue
      const problem = problemFor(new ValidationError(parsed.problems), {}, null)
      expect(JSON.stringify(problem)).not.toContain(secret)
    }
  },
)

const parameters = everyRoute(routes).flatMap(({ id, route }) =>
  Object.entries(route.params).map(([name, schema]) => ({ name: `${id} ${name}`, schema })),
)

test.each(parameters)('parameter $name never climbs', ({ schema }) => {
  expect(schema.safeParse(sampleOf(schema)).success).toBe(true)
  for (const bad of [
    '',
    '.',
    '..',
    '../x',
    'a/../b',
    '/a',
    'a\\b',
    'a\u0000',
    'a?b',
    'a#b',
    '%2e%2e',
    ' a',
    'é',
  ]) {
    expect(schema.safeParse(bad).success, bad).toBe(false)
  }
})
