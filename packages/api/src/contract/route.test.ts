import type { MachineId } from '@deos/domain'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { routes } from '../routes/index.ts'
import { type ApiEventOf, machineIdSchema } from '../schemas/index.ts'
import { empty } from './answer.ts'
import { everyRoute } from './every-route.ts'
import { parametersOf } from './path.ts'
import { defineRoute, problemsOf, type RouteTable } from './route.ts'
import type { CallOf, RequestOf, ResultOf } from './route-types.ts'

const all = everyRoute(routes)

describe('defineRoute()', () => {
  test('a path and its schemas must name the same parameters', () => {
    const wrong = { machine: machineIdSchema, other: machineIdSchema }
    expect(() =>
      defineRoute({
        method: 'GET',
        path: '/machines/{machine}',
        params: wrong,
        answer: empty,
        permission: 'public',
        summary: 'x',
      }),
    ).toThrow(/parameters machine, but schemas for machine,other/)
    expect(() =>
      // @ts-expect-error the schema is missing
      defineRoute({ method: 'GET', path: '/a/{b}', answer: empty, permission: 'public', summary: 'x' }),
    ).toThrow(/parameters b/)
  })

  test('types follow from schemas', () => {
    type Show = typeof routes.machines.show
    expectTypeOf<RequestOf<Show>['params']>().toEqualTypeOf<{ readonly machine: MachineId }>()
    expectTypeOf<RequestOf<Show>['body']>().toEqualTypeOf<null>()
    expectTypeOf<ResultOf<Show>['id']>().toEqualTypeOf<MachineId>()
    expectTypeOf<CallOf<Show>['params']>().toEqualTypeOf<{ readonly machine: string }>()
    type List = typeof routes.machines.list
    expectTypeOf<RequestOf<List>['query']['limit']>().toEqualTypeOf<number>()
    expectTypeOf<NonNullable<NonNullable<CallOf<List>['query']>['limit']>>().toEqualTypeOf<number>()
    expectTypeOf<NonNullable<NonNullable<CallOf<List>['query']>['region']>>().toEqualTypeOf<string>()
    expectTypeOf<ResultOf<List>['items'][number]['id']>().toEqualTypeOf<MachineId>()
    expectTypeOf<ResultOf<typeof routes.machines.remove>>().toEqualTypeOf<undefined>()
    expectTypeOf<ApiEventOf<'machine.joined'>['data']['machineId']>().toEqualTypeOf<MachineId>()
  })
})

describe('the table', () => {
  test('no two routes share an address', () => {
    const addresses = all.map(({ route }) => `${route.method} ${route.path.replace(/\{\w+\}/g, '{}')}`)
    expect(new Set(addresses).size).toBe(addresses.length)
  })

  test.each(all.map(({ id, route }) => [id, route] as const))('%s is well formed', (_, route) => {
    expect(route.path).toMatch(/^(\/([a-z][a-z-]*|\{[a-z][A-Za-z]*\}))+$/)
    expect(route.summary).toMatch(/^[A-Z].*\.$/)
    expect(Object.keys(route.params)).toEqual(parametersOf(route.path))
    if (route.method === 'GET') {
      expect(route.body).toBeNull()
      expect(route.idempotencyKey).toBe(false)
    }
    // Every list can be asked for plainly, and says what is not a field.
    if (route.query !== null) {
      expect(route.query.safeParse({}).success).toBe(true)
      expect(route.query.safeParse({ nonsense: '1' }).success).toBe(false)
    }
    if (route.answer.kind === 'page') {
      expect(Object.keys(route.query?.shape ?? {})).toEqual(expect.arrayContaining(['cursor', 'limit']))
    }
  })

  test('whatever creates something takes an idempotency key', () => {
    const creating = all.filter(({ route }) => route.answer.status === 201)
    expect(creating.length).toBeGreaterThan(5)
    expect(creating.filter(({ route }) => !route.idempotencyKey)).toEqual([])
  })

  test('problems follow from what a route has', () => {
    expect(problemsOf(routes.session.version)).toEqual(['internal', 'rate-limited', 'unavailable'])
    expect(problemsOf(routes.machines.show)).toEqual([
      'forbidden',
      'internal',
      'not-found',
      'rate-limited',
      'unauthenticated',
      'unavailable',
      'validation',
    ])
    expect(problemsOf(routes.keys.create)).toEqual(
      expect.arrayContaining(['idempotency-mismatch', 'malformed', 'too-large', 'validation']),
    )
  })

  test('sorting does not depend on the order of the table', () => {
    const turned: RouteTable = Object.fromEntries(Object.entries(routes).reverse())
    expect(everyRoute(turned).map(({ id }) => id)).toEqual(all.map(({ id }) => id))
  })
})
