import {
  type Actor,
  actors,
  everyRoute,
  isAllowed,
  isOrganisational,
  type KeyScope,
  organisationHeader,
  type Role,
  type Route,
  roles,
  routes,
} from '@deos/api'
import { sampleOf } from '@deos/api/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CredentialSources } from './credentials.ts'
import { digestOf } from './secrets.ts'
import { stubHandlers } from './testing/stub-handlers.ts'
import { createTestServer, type TestServer } from './testing/test-server.ts'

const own = 'org-own' as never
const other = 'org-other' as never
const gatewayToken = `deos_g_${'g'.repeat(43)}`
const secretOf = (actor: Actor) => `deos_k_${actor.replace(':', '_')}`

const isRole = (actor: Actor): actor is Role => (roles as readonly string[]).includes(actor)
const scopeOf = (actor: Actor): KeyScope | null =>
  actor.startsWith('key:') ? (actor.slice('key:'.length) as KeyScope) : null

const keys = new Map(
  actors.flatMap((actor) => {
    const scope = scopeOf(actor)
    return scope === null
      ? []
      : [[digestOf(secretOf(actor)), { keyId: `key-${scope}` as never, organisation: own, scopes: [scope] }]]
  }),
)

const sources: CredentialSources = {
  sessionOf: async (cookie) => {
    const actor = /^session=(\w+)$/.exec(cookie)?.[1]
    return actor === undefined ? null : { userId: actor as never, cookies: [] }
  },
  membershipsOf: async (user) =>
    isRole(user as never) ? [{ organisation: own, role: user as never as Role }] : [],
  keyOf: async (digest) => keys.get(digest) ?? null,
  machineOf: async (digest) =>
    digest === digestOf('deos_m_machine')
      ? { machine: 'machine-1' as never, organisation: own, incarnation: 2 }
      : null,
  gatewayToken,
}

function credentialOf(actor: Actor): Record<string, string> {
  if (actor === 'anonymous') return {}
  if (actor === 'machine') return { authorization: 'Bearer deos_m_machine' }
  if (actor === 'gateway') return { authorization: `Bearer ${gatewayToken}` }
  if (scopeOf(actor) !== null) return { authorization: `Bearer ${secretOf(actor)}` }
  return { cookie: `session=${actor}`, 'sec-fetch-site': 'same-origin' }
}

let server: TestServer
const passed: { id: string; organisation: string | null; actor: Actor }[] = []

beforeAll(async () => {
  const handlers = stubHandlers({}, ({ id, caller: { organisation, actor } }) =>
    passed.push({ id, organisation, actor }),
  )
  server = await createTestServer({ handlers, sources })
})
afterAll(() => server.app.close())

async function call(route: Route, actor: Actor, organisation: string | null) {
  const path = route.path.replace(/\{([A-Za-z]+)\}/g, (_, name: string) =>
    name === 'organisation' ? (organisation ?? own) : encodeURIComponent(sampleOf(route.params[name]!)),
  )
  passed.length = 0
  const answer = await server.app.inject({
    method: route.method,
    url: `/api/v1${path}`,
    headers: { ...credentialOf(actor), ...(organisation && { [organisationHeader]: organisation }) },
    ...(route.body && {
      payload: JSON.stringify(sampleOf(route.body)),
      headers: {
        ...credentialOf(actor),
        ...(organisation && { [organisationHeader]: organisation }),
        'content-type': 'application/json',
      },
    }),
  })
  return {
    status: answer.statusCode,
    type: answer.statusCode >= 400 ? answer.json().type : null,
    body: answer.body,
  }
}

describe.each(actors)('%s', (actor) => {
  test('reaches exactly the routes that it may in its own organisation', async () => {
    for (const { id, route } of everyRoute(routes)) {
      const { status, body } = await call(route, actor, null)
      const may = isAllowed(actor, route.permission, true)
      // A person without an organisation names somebody else's in the path.
      const refusal = actor === 'person' && 'organisation' in route.params ? 404 : 403
      expect(passed.length, `${id}: ${status} ${body}`).toBe(may ? 1 : 0)
      expect(status, `${id}: ${body}`).toBe(may ? route.answer.status : actor === 'anonymous' ? 401 : refusal)
      if (!may) continue
      expect(passed[0]).toMatchObject({ id, organisation: isOrganisational(route.permission) ? own : null })
      if (isOrganisational(route.permission)) expect(passed[0]!.actor).toBe(actor)
    }
  })

  test('reaches nothing of another organisation, and does not learn whether it exists', async () => {
    for (const { id, route } of everyRoute(routes)) {
      if (!isOrganisational(route.permission)) continue
      const answers = [await call(route, actor, other), await call(route, actor, 'org-that-never-was')]
      for (const { status } of answers) {
        expect(passed, id).toEqual([])
        const inPath = 'organisation' in route.params
        const known = actor !== 'anonymous' && actor !== 'gateway'
        expect(status, id).toBe(actor === 'anonymous' ? 401 : known && inPath ? 404 : 403)
      }
      const words = answers.map(({ body }) => JSON.stringify({ ...JSON.parse(body), requestId: null }))
      expect(words[0]).toBe(words[1])
    }
  })
})
