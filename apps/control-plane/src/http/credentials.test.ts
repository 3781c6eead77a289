import { organisationHeader, ProblemError, type Route, routes, ValidationError } from '@deos/api'
import { describe, expect, test } from 'vitest'
import { type CredentialSources, Credentials, type PresentedRequest } from './credentials.ts'
import { limitedAddress } from './request-origin.ts'
import { digestOf, isSameSecret, newSecret, shownPrefix } from './secrets.ts'
import { noSources } from './testing/test-server.ts'

const gatewayToken = 'deos_g_right'

const sources: CredentialSources = {
  ...noSources,
  sessionOf: async (cookie) =>
    cookie === 'session' ? { userId: 'user-1' as never, cookies: ['renewed'] } : null,
  membershipsOf: async () => [
    { organisation: 'org-1' as never, role: 'viewer' },
    { organisation: 'org-2' as never, role: 'owner' },
  ],
  keyOf: async (digest) =>
    digest === digestOf('deos_k_several')
      ? { keyId: 'key-1' as never, organisation: 'org-1' as never, scopes: ['inference', 'read', 'manage'] }
      : null,
  gatewayToken,
}

const check = (route: Route, request: Partial<PresentedRequest>) =>
  new Credentials(sources).check(
    { method: route.method, headers: {}, params: {}, ownOrigins: ['https://deos.example.org'], ...request },
    route,
  )

const problemOf = async (attempt: Promise<unknown>): Promise<string> => {
  const error = await attempt.then(
    () => null,
    (refusal: unknown) => refusal,
  )
  if (error instanceof ValidationError) return `validation ${error.fields[0]?.field}`
  return error instanceof ProblemError ? error.code : `no problem: ${String(error)}`
}

describe('cookies', () => {
  const cookie = 'session'
  const choice = { [organisationHeader]: 'org-2' }

  test('count on methods that change nothing', async () => {
    const standing = await check(routes.machines.list, { headers: { cookie, ...choice } })
    expect(standing).toMatchObject({
      actor: 'owner',
      organisation: 'org-2',
      userId: 'user-1',
      cookies: ['renewed'],
    })
  })

  test.each([
    [{ 'sec-fetch-site': 'same-origin' }, 'passes'],
    [{ origin: 'https://deos.example.org' }, 'passes'],
    [{ 'sec-fetch-site': 'none', origin: 'https://deos.example.org' }, 'passes'],
    [{}, 'UNAUTHENTICATED'],
    [{ 'sec-fetch-site': 'none' }, 'UNAUTHENTICATED'],
    [{ 'sec-fetch-site': 'cross-site' }, 'CROSS_SITE'],
    [{ 'sec-fetch-site': 'same-site' }, 'CROSS_SITE'],
    [{ 'sec-fetch-site': 'cross-site', origin: 'https://deos.example.org' }, 'CROSS_SITE'],
    [{ origin: 'null' }, 'CROSS_SITE'],
    [{ origin: 'https://deos.example.org.evil.example' }, 'CROSS_SITE'],
    [{ origin: 'http://deos.example.org' }, 'CROSS_SITE'],
  ])('a change with %j %s', async (headers, outcome) => {
    const attempt = check(routes.settings.update, { headers: { cookie, ...choice, ...headers } })
    if (outcome === 'passes') await expect(attempt).resolves.toMatchObject({ actor: 'owner' })
    else expect(await problemOf(attempt)).toBe(outcome)
  })

  test('pages of other sites cannot even sign in, and programs need no such header', async () => {
    const foreign = { headers: { 'sec-fetch-site': 'cross-site' } }
    expect(await problemOf(check(routes.session.signIn, foreign))).toBe('CROSS_SITE')
    await expect(check(routes.session.signIn, {})).resolves.toMatchObject({ actor: 'anonymous' })
    const headers = { authorization: 'Bearer deos_k_several', origin: 'https://other.example' }
    await expect(check(routes.keys.create, { headers })).resolves.toMatchObject({ actor: 'key:manage' })
  })

  test('are nothing beside another credential', async () => {
    const headers = { cookie, ...choice, authorization: 'Bearer deos_k_unknown' }
    expect(await problemOf(check(routes.machines.list, { headers }))).toBe('UNAUTHENTICATED')
  })
})

describe('organisations', () => {
  test('a person with several says which is meant', async () => {
    const headers = { cookie: 'session' }
    expect(await problemOf(check(routes.machines.list, { headers }))).toBe(`validation ${organisationHeader}`)
    const account = await check(routes.organisations.list, { headers })
    expect(account).toMatchObject({ actor: 'person', organisation: null })
  })

  test('the one in the path is meant, whatever the header says', async () => {
    const headers = { cookie: 'session', [organisationHeader]: 'org-2' }
    const standing = await check(routes.organisations.show, { headers, params: { organisation: 'org-1' } })
    expect(standing).toMatchObject({ actor: 'viewer', organisation: 'org-1' })
  })
})

describe('secrets', () => {
  const bearer = (authorization: string) => ({ headers: { authorization } })

  test('a key acts by the strongest scope that the route allows', async () => {
    const request = bearer('Bearer deos_k_several')
    expect(await check(routes.machines.list, request)).toMatchObject({
      actor: 'key:manage',
      cause: { kind: 'key', id: 'key-1' },
    })
    expect(await problemOf(check(routes.members.list, request))).toBe('FORBIDDEN')
  })

  test.each([
    'Basic deos_g_right',
    'Bearer',
    'Bearer ',
    'Bearer deos_g_wrong',
    'Bearer deos_g_right2',
    'Bearer deos_k_deos_g_right',
    'Bearer deos_t_token',
    `Bearer ${'x'.repeat(600)}`,
  ])('%s opens nothing', async (authorization) => {
    expect(await problemOf(check(routes.gateway.access, bearer(authorization)))).toBe('UNAUTHENTICATED')
  })

  test('one that is no longer valid does not keep a machine from joining anew', async () => {
    const joining = await check(routes.worker.join, bearer('Bearer deos_m_old'))
    expect(joining).toMatchObject({ actor: 'anonymous' })
    expect(await check(routes.gateway.access, bearer('bearer deos_g_right'))).toMatchObject({
      actor: 'gateway',
    })
  })

  test('are random, told apart by their beginning, and kept as digests', () => {
    const secret = newSecret('deos_k_')
    expect(secret).toMatch(/^deos_k_[A-Za-z0-9_-]{43}$/)
    expect(newSecret('deos_k_')).not.toBe(secret)
    expect(shownPrefix(secret)).toBe(secret.slice(0, 11))
    // SHA-256 of "abc", FIPS 180-2.
    expect(digestOf('abc')).toBe('sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
    expect([isSameSecret('a', 'a'), isSameSecret('a', 'b'), isSameSecret('', 'a')]).toEqual([
      true,
      false,
      false,
    ])
  })
})

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '20010db800010002/64'],
  ['2001:db8:1:2::9', '20010db800010002/64'],
  ['unix:', 'unknown'],
])('limits of %s are those of %s', (address, limited) => {
  expect(limitedAddress(address)).toBe(limited)
})
