import { everyRoute, isOrganisational, routes } from '@deos/api'
import { sampleOf } from '@deos/api/testing'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestServer, type TestServer } from './testing/test-server.ts'

const gatewayToken = 'deos_g_fuzz'
const organisation = 'org-1' as never
let server: TestServer

beforeAll(async () => {
  server = await createTestServer({
    sources: {
      gatewayToken,
      sessionOf: async () => ({ userId: 'user-1' as never, cookies: [] }),
      membershipsOf: async () => [{ organisation, role: 'owner' }],
      machineOf: async () => ({ machine: 'machine-1' as never, organisation, incarnation: 1 }),
    },
  })
})
afterAll(() => server.app.close())

function credentialFor(permission: string): Record<string, string> {
  if (permission === 'gateway:use') return { authorization: `Bearer ${gatewayToken}` }
  if (permission === 'worker:use') return { authorization: 'Bearer deos_m_fuzz' }
  return { cookie: 'session', 'sec-fetch-site': 'same-origin' }
}

const anything = fc.oneof(
  fc.json(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('{"__proto__":{"a":1}}', '[]', 'null', '"x"', '{"constructor":1}', `${'['.repeat(5000)}`),
)

/** Bodies that fit, with something else in one place. */
const spoilt = (sample: unknown): fc.Arbitrary<string> =>
  fc
    .tuple(fc.constantFrom(...Object.keys((sample ?? {}) as object), 'extra', '__proto__'), fc.jsonValue())
    .map(([field, value]) => JSON.stringify({ ...(sample as object), [field]: value }))

const word = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 80 }),
  fc.constantFrom('..', '%', '\0', "' or 1=1--", '<b>'),
)
const wellFormed = (text: string) => encodeURIComponent(text.replace(/\p{Cs}/gu, '�'))

test.each(everyRoute(routes).map((named) => [named.id, named] as const))(
  '%s never fails, whatever is sent',
  async (_, { route }) => {
    const body = route.body === null ? anything : fc.oneof(anything, spoilt(sampleOf(route.body)))
    const headers = { ...credentialFor(route.permission), 'content-type': 'application/json' }
    await fc.assert(
      fc.asyncProperty(body, word, word, word, async (payload, segment, field, value) => {
        const path = route.path.replace(/\{([A-Za-z]+)\}/g, (_name, name: string) =>
          name === 'organisation' && isOrganisational(route.permission) ? organisation : wellFormed(segment),
        )
        const answer = await server.app.inject({
          method: route.method,
          url: `/api/v1${path}?${wellFormed(field)}=${wellFormed(value)}&limit=${wellFormed(value)}`,
          headers,
          ...(route.method !== 'GET' && { payload }),
        })
        expect(answer.statusCode, answer.body).not.toBe(500)
        if (answer.statusCode >= 400) expect(answer.json().type).toMatch(/^urn:deos:problem:/)
      }),
      { numRuns: 15 },
    )
  },
)
