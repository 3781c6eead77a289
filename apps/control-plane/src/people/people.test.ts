import { everyRoute, routes } from '@deos/api'
import { sampleOf } from '@deos/api/testing'
import { eq } from 'drizzle-orm'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import * as schema from '../database/schema/index.ts'
import { describeDatabases, describeEmbedded } from '../database/testing/databases.ts'
import { digestOf } from '../http/secrets.ts'
import { slugOf } from './founding.ts'
import { createWorld, firstOwner, invited, password, type World } from './testing/world.ts'

const worlds: World[] = []
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close()
})

async function worldOf(database: Database, options?: Parameters<typeof createWorld>[1]): Promise<World> {
  const world = await createWorld(database, options)
  worlds.push(world)
  return world
}

/** What fits, but for one field. */
const spoilt = (sample: unknown) =>
  sample === null
    ? fc.constant(undefined)
    : fc
        .tuple(
          fc.constantFrom(...Object.keys(sample as object), 'none'),
          fc.oneof(fc.jsonValue(), fc.string({ unit: 'binary' })),
        )
        .map(([field, value]) => ({ ...(sample as object), ...(field !== 'none' && { [field]: value }) }))

const eventTypes = async ({ queries }: Database) => {
  const rows = await queries
    .select({ type: schema.events.type })
    .from(schema.events)
    .orderBy(schema.events.sequence)
  return rows.map(({ type }) => type)
}

describeDatabases('people', (open) => {
  test('the link of the first start makes one owner, with an organisation, a project and settings', async () => {
    const world = await worldOf(await open())
    const nobody = world.client()
    expect((await nobody.get('/session')).body).toMatchObject({ user: null, setupNeeded: true })
    const first = await world.people.setup.ensureSetup()
    const second = await world.people.setup.ensureSetup()
    expect(second!.link).toBe(`http://localhost/setup#token=${second!.token}`)
    const account = { name: 'Ada', email: 'Ada@Example.org', password, organisation: 'Northern Lab' }
    const wrong = await nobody.post('/session/setup', { ...account, token: `${first!.token}x` })
    expect([wrong.status, wrong.body.type]).toEqual([410, 'urn:deos:problem:gone'])
    // The older link is as good; of two at once, one succeeds.
    const attempts = await Promise.all(
      [first!, second!].map(({ token }, index) =>
        world.client().post('/session/setup', { ...account, email: `ada${index}@example.org`, token }),
      ),
    )
    expect(attempts.map(({ status }) => status).sort()).toEqual([200, 410])
    const { body } = attempts.find(({ status }) => status === 200)!
    expect(body).toMatchObject({
      user: { name: 'Ada' },
      memberships: [{ role: 'owner', organisation: { slug: 'northern-lab', name: 'Northern Lab' } }],
      setupNeeded: false,
    })
    expect(await world.people.setup.ensureSetup()).toBeNull()
    expect(await eventTypes(world.database)).toEqual(['member.joined', 'project.created'])
  })

  test('a session lives from signing in to signing out', async () => {
    const world = await worldOf(await open())
    await firstOwner(world)
    const browser = world.client()
    const wrong = await browser.post('/session', { email: 'ada@example.org', password: 'wrong password' })
    const unknown = await browser.post('/session', { email: 'eve@example.org', password })
    expect([wrong.status, unknown.status]).toEqual([401, 401])
    expect(wrong.body.detail).toBe(unknown.body.detail)
    const signedIn = await browser.post('/session', { email: 'ADA@example.org', password })
    expect(signedIn.status).toBe(200)
    const cookie = String(signedIn.headers['set-cookie'])
    expect(cookie).toMatch(/^deos\.session_token=[^;]+;.*Path=\/; HttpOnly; SameSite=Lax/)
    expect(cookie).not.toContain('Secure')
    const shown = await browser.get('/session')
    expect(shown.body.user.email).toBe('ada@example.org')
    expect(shown.body.expiresAt).toBe(signedIn.body.expiresAt)
    expect((await browser.get('/projects')).body.items).toMatchObject([{ name: 'default', keys: 0 }])
    const [seen] = (await browser.get('/members')).body.items
    expect(seen.lastSeenAt).not.toBeNull()
    expect((await browser.with({ 'sec-fetch-site': 'cross-site' }).delete('/session')).status).toBe(403)
    expect((await browser.get('/session')).body.user).not.toBeNull()
    expect((await browser.delete('/session')).status).toBe(204)
    expect((await browser.get('/session')).body.user).toBeNull()
    expect((await browser.get('/projects')).status).toBe(401)
  })

  test('a changed password ends other sessions', async () => {
    const world = await worldOf(await open())
    const { owner } = await firstOwner(world)
    const elsewhere = world.client()
    await elsewhere.post('/session', { email: 'ada@example.org', password })
    const next = 'a better passphrase'
    const wrong = await owner.call('PUT', '/session/password', { current: 'not this one', next })
    expect(wrong.body).toMatchObject({ status: 400, errors: [{ field: 'current' }] })
    expect((await owner.call('PUT', '/session/password', { current: password, next })).status).toBe(204)
    expect((await owner.get('/projects')).status).toBe(200)
    expect((await elsewhere.get('/projects')).status).toBe(401)
    expect((await world.client().post('/session', { email: 'ada@example.org', password })).status).toBe(401)
    expect((await world.client().post('/session', { email: 'ada@example.org', password: next })).status).toBe(
      200,
    )
  })

  test('invitations are accepted once, by new people and by those who are signed in', async () => {
    const world = await worldOf(await open())
    const { owner, organisation } = await firstOwner(world)
    const grace = await invited(world, owner, 'developer', 'grace')
    expect(grace.accepted.body).toMatchObject({
      user: { email: 'grace@example.org' },
      memberships: [{ role: 'developer' }],
    })
    expect((await grace.client.get('/models')).status).toBe(200)
    const again = await world
      .client()
      .post('/session/invitation', { token: grace.token, account: { name: 'x', password } })
    expect(again.status).toBe(410)
    expect((await owner.post('/invitations', { email: 'grace@example.org', role: 'viewer' })).body.code).toBe(
      'ALREADY_MEMBER',
    )

    // Another organisation invites the same person, who is signed in.
    const founded = await owner.post('/organisations', { slug: 'second', name: 'Second' })
    const second = owner.of(founded.body.id)
    const link = (await second.post('/invitations', { email: 'grace@example.org', role: 'admin' })).body.link
    const token = new URL(link).hash.slice('#token='.length)
    const stranger = await world
      .client()
      .post('/session/invitation', { token, account: { name: 'x', password } })
    expect([stranger.status, stranger.body.code]).toEqual([401, 'ACCOUNT_NEEDED'])
    const joined = await grace.client.post('/session/invitation', { token })
    expect(joined.body.memberships.map(({ role }: { role: string }) => role)).toEqual(['developer', 'admin'])
    const several = await grace.client.get('/models')
    expect(several.body).toMatchObject({
      status: 400,
      errors: [{ in: 'header', field: 'deos-organisation' }],
    })
    expect((await grace.client.of(organisation).get('/members')).body.items).toHaveLength(2)
    expect((await grace.client.of('org-none').get('/members')).status).toBe(403)

    // Revoked and expired ones look like unknown ones.
    const revoked = (await second.post('/invitations', { email: 'a@example.org', role: 'viewer' })).body
    expect((await second.post('/invitations', { email: 'a@example.org', role: 'viewer' })).body.code).toBe(
      'ALREADY_INVITED',
    )
    expect((await second.delete(`/invitations/${revoked.invitation.id}`)).status).toBe(204)
    expect((await owner.of(organisation).delete(`/invitations/${revoked.invitation.id}`)).status).toBe(404)
    const expiring = (
      await second.post('/invitations', { email: 'b@example.org', role: 'viewer', validDays: 1 })
    ).body
    world.pass(2 * 86_400_000)
    const states = (await second.get('/invitations')).body.items.map(({ state }: { state: string }) => state)
    expect(states).toEqual(['expired', 'revoked', 'accepted'])
    expect((await second.get('/invitations?state=expired&state=revoked')).body.items).toHaveLength(2)
    for (const created of [revoked, expiring]) {
      const body = {
        token: new URL(created.link).hash.slice('#token='.length),
        account: { name: 'x', password },
      }
      expect((await world.client().post('/session/invitation', body)).status).toBe(410)
    }
  })

  test('one owner stays, and only owners make owners', async () => {
    const world = await worldOf(await open())
    const { owner, userId } = await firstOwner(world)
    const admin = await invited(world, owner, 'admin', 'grace')
    expect((await owner.patch(`/members/${userId}`, { role: 'viewer' })).body.code).toBe('LAST_OWNER')
    expect((await owner.delete(`/members/${userId}`)).body.code).toBe('LAST_OWNER')
    expect((await admin.client.patch(`/members/${admin.userId}`, { role: 'owner' })).status).toBe(403)
    expect((await admin.client.delete(`/members/${userId}`)).status).toBe(403)
    expect((await admin.client.post('/invitations', { email: 'x@example.org', role: 'owner' })).status).toBe(
      403,
    )
    expect((await owner.patch(`/members/${admin.userId}`, { role: 'owner' })).body.role).toBe('owner')
    // Both unmake the other at once: one is left.
    const outcomes = await Promise.all([
      owner.patch(`/members/${admin.userId}`, { role: 'viewer' }),
      admin.client.patch(`/members/${userId}`, { role: 'viewer' }),
    ])
    expect(outcomes.filter(({ status }) => status === 200)).toHaveLength(1)
    const members = await world.database.queries.select().from(schema.members)
    expect(members.filter(({ role }) => role === 'owner')).toHaveLength(1)
  })

  test('who leaves loses everything at once', async () => {
    const world = await worldOf(await open())
    const { owner } = await firstOwner(world)
    const { client, userId } = await invited(world, owner, 'developer', 'grace')
    const { token } = (await client.post('/session/inference-token')).body
    expect(await world.people.accessOf(digestOf(token))).toMatchObject({
      keyId: null,
      userId,
      scopes: ['inference'],
    })
    expect((await owner.get('/keys?all=true')).body.items).toEqual([])
    expect((await owner.delete(`/members/${userId}`)).status).toBe(204)
    expect((await client.get('/models')).status).toBe(403)
    expect(await world.people.accessOf(digestOf(token))).toBeNull()
    expect((await owner.delete(`/members/${userId}`)).status).toBe(404)
  })

  test('keys are shown once and work until they end', async () => {
    const world = await worldOf(await open())
    const { owner, organisation } = await firstOwner(world)
    const created = await owner.post('/keys', { name: 'ci', scopes: ['manage', 'inference'] })
    const { key, secret } = created.body
    expect(secret).toMatch(/^deos_k_/)
    expect(key).toMatchObject({
      prefix: secret.slice(0, 11),
      spent: { currency: 'USD', microUnits: '1500000' },
      lastUsedAt: null,
    })
    const program = world.client({ authorization: `Bearer ${secret}` })
    expect((await program.get('/machines')).status).toBe(200)
    expect((await program.get('/members')).status).toBe(403)
    expect((await owner.get(`/keys/${key.id}`)).body.lastUsedAt).not.toBeNull()
    expect(await world.people.accessOf(digestOf(secret))).toMatchObject({
      organisationId: organisation,
      projectId: key.projectId,
      keyId: key.id,
      userId: null,
      scopes: ['manage', 'inference'],
      expiresAt: null,
    })
    // It lasts a day, and then ends by itself.
    const expiresAt = new Date(Date.now() + 86_400_000).toISOString()
    expect((await owner.patch(`/keys/${key.id}`, { expiresAt })).body.expiresAt).toBe(expiresAt)
    expect((await owner.patch(`/keys/${key.id}`, { expiresAt: '2020-01-01T00:00:00Z' })).status).toBe(400)
    world.pass(2 * 86_400_000)
    expect((await program.get('/machines')).status).toBe(401)
    expect(await world.people.accessOf(digestOf(secret))).toBeNull()
    expect((await owner.get('/keys')).body.items).toEqual([])
    const revoked = (await owner.post('/keys', { name: 'two' })).body
    expect((await owner.delete(`/keys/${revoked.key.id}`)).status).toBe(204)
    expect((await owner.patch(`/keys/${revoked.key.id}`, { name: 'x' })).body.code).toBe('KEY_REVOKED')
    expect(await world.people.accessOf(digestOf(revoked.secret))).toBeNull()
    expect((await owner.get('/keys?all=true')).body.items).toHaveLength(2)
    expect(await eventTypes(world.database)).toEqual(
      expect.arrayContaining(['key.created', 'key.updated', 'key.revoked']),
    )
    await expect.poll(() => world.notices.length).toBeGreaterThan(3)
  })

  test('a repeated create is answered as before, and one with a secret is refused', async () => {
    const world = await worldOf(await open())
    const { owner } = await firstOwner(world)
    const keyed = owner.with({ 'idempotency-key': 'once' })
    const first = await keyed.post('/projects', { name: 'search' })
    expect(await keyed.post('/projects', { name: 'search' })).toMatchObject({ status: 201, body: first.body })
    expect((await keyed.post('/projects', { name: 'other' })).body.code).toBe('IDEMPOTENCY_MISMATCH')
    expect((await keyed.post('/keys', { name: 'a' })).status).toBe(201)
    expect((await keyed.post('/keys', { name: 'a' })).body.code).toBe('SECRET_SHOWN_ALREADY')
    expect((await owner.get('/keys')).body.items).toHaveLength(1)
  })

  test('a removed project takes its keys along; the last one stays', async () => {
    const world = await worldOf(await open())
    const { owner, organisation } = await firstOwner(world)
    const [first] = (await owner.get('/projects')).body.items
    expect((await owner.delete(`/projects/${first.id}`)).body.code).toBe('LAST_PROJECT')
    const search = (await owner.post('/projects', { name: 'search' })).body
    expect((await owner.post('/projects', { name: 'search' })).body.code).toBe('NAME_TAKEN')
    const { secret } = (await owner.post('/keys', { name: 'a', projectId: search.id })).body
    await world.database.queries
      .insert(schema.deploymentDetails)
      .values({ id: 'deployment-1', organisationId: organisation, projectId: search.id, servedAs: 'chat' })
    expect((await owner.get(`/projects/${search.id}`)).body).toMatchObject({ keys: 1, deployments: 1 })
    expect((await owner.delete(`/projects/${search.id}`)).body.code).toBe('PROJECT_IN_USE')
    await world.database.queries.delete(schema.deploymentDetails)
    expect((await owner.delete(`/projects/${search.id}`)).status).toBe(204)
    expect((await owner.get(`/projects/${search.id}`)).status).toBe(404)
    expect(await world.people.accessOf(digestOf(secret))).toBeNull()
    expect((await owner.post('/projects', { name: 'search' })).status).toBe(201)
    expect((await owner.post('/keys', { name: 'b', projectId: search.id })).body.errors).toMatchObject([
      { field: 'projectId' },
    ])
  })

  test('an organisation that is empty can be closed', async () => {
    const world = await worldOf(await open())
    const { owner, organisation } = await firstOwner(world)
    const { secret } = (await owner.post('/keys', { name: 'a' })).body
    expect((await owner.patch(`/organisations/${organisation}`, { name: 'Southern Lab' })).body.name).toBe(
      'Southern Lab',
    )
    world.remaining.machines = 2
    expect((await owner.delete(`/organisations/${organisation}`)).body).toMatchObject({
      code: 'ORGANISATION_IN_USE',
      detail: expect.stringContaining('2 machines'),
    })
    world.remaining.machines = 0
    expect((await owner.delete(`/organisations/${organisation}`)).status).toBe(204)
    expect((await owner.get('/organisations')).body.items).toEqual([])
    expect((await owner.get(`/organisations/${organisation}`)).status).toBe(404)
    expect(await world.people.accessOf(digestOf(secret))).toBeNull()
    expect(await world.people.setup.ensureSetup()).toBeNull()
  })

  test('no secret is in any log, event, refusal or row', async () => {
    const world = await worldOf(await open())
    const { owner, token: setupToken } = await firstOwner(world)
    const { token: invitationToken, client } = await invited(world, owner, 'developer', 'grace')
    const { secret } = (await owner.post('/keys', { name: 'a' })).body
    const { token } = (await client.post('/session/inference-token')).body
    // Refusals of all kinds, with secrets in all places.
    await owner.post('/keys', { name: secret, expiresAt: secret, scopes: [secret] })
    await owner.post('/session/setup', {
      token: setupToken,
      name: 'x',
      email: 'x@example.org',
      password,
      organisation: 'x',
    })
    await world.client().post('/session/invitation', { token: invitationToken })
    await world.client().post('/session', { email: 'ada@example.org', password: `${password} not` })
    await world.client({ authorization: `Bearer ${secret}x` }).get(`/machines?cursor=${secret}`)
    await world.client({ authorization: `Basic ${secret}` }).get('/machines')
    await owner.call('PUT', '/session/password', { current: `${password} not`, next: 'another password' })
    expect(world.refusals.length).toBeGreaterThanOrEqual(7)
    const told = await world.database.queries.select().from(schema.events)
    const rows = await Promise.all(
      [
        schema.apiKeys,
        schema.invitations,
        schema.verifications,
        schema.accounts,
        schema.idempotentAnswers,
      ].map((table) => world.database.queries.select().from(table)),
    )
    const written = JSON.stringify([told, rows, world.refusals]) + world.logged()
    expect(world.logged()).toContain('Answered.')
    for (const hidden of [setupToken, invitationToken, secret, token, password]) {
      expect(written).not.toContain(hidden)
    }
  })
})

describeEmbedded('people, once more', (open) => {
  test('guessing is slow, and other accounts go on', async () => {
    const attemptLimits = {
      perAddress: { attempts: 12, windowMs: 60_000 },
      perAccount: { attempts: 3, windowMs: 60_000 },
    }
    const world = await worldOf(await open(), { attemptLimits })
    const { owner } = await firstOwner(world)
    await invited(world, owner, 'viewer', 'grace')
    const guess = (email: string, given = 'wrong password') =>
      world.client().post('/session', { email, password: given })
    const statuses: number[] = []
    for (let attempt = 0; attempt < 4; attempt += 1) statuses.push((await guess('ada@example.org')).status)
    expect(statuses).toEqual([401, 401, 401, 429])
    const limited = await guess('ada@example.org', password)
    expect(limited.body).toMatchObject({ code: 'TOO_MANY_ATTEMPTS', retriable: true })
    expect(Number(limited.headers['retry-after'])).toBeGreaterThan(0)
    expect((await guess('grace@example.org', password)).status).toBe(200)
    const more = []
    for (let attempt = 0; attempt < 8; attempt += 1)
      more.push((await guess(`eve${attempt}@example.org`)).status)
    expect(more.at(-1)).toBe(429)
  })

  test('cookies are secure where people come by https', async () => {
    const world = await worldOf(await open(), { publicUrl: 'https://deos.example.org' })
    await world.people.setup.createOwner({
      name: 'Ada',
      email: 'ada@example.org',
      password,
      organisation: 'Lab',
    })
    const { headers } = await world.client().post('/session', { email: 'ada@example.org', password })
    expect(String(headers['set-cookie'])).toMatch(
      /^__Secure-deos\.session_token=.*; HttpOnly; Secure; SameSite=Lax/,
    )
  })

  test('an owner can be made without a browser, and a key brought along', async () => {
    const world = await worldOf(await open())
    const secret = `deos_k_${'b'.repeat(43)}`
    const setup = await world.people.setup.ensureSetup()
    const owner = { name: 'Ada', email: 'ada@example.org', password, organisation: '!!!' }
    const { organisation } = await world.people.setup.createOwner(owner)
    expect(organisation.slug).toBe('organisation')
    const late = { ...owner, email: 'eve@example.org', token: setup!.token }
    expect((await world.client().post('/session/setup', late)).status).toBe(410)
    await expect(world.people.setup.createOwner(owner)).rejects.toMatchObject({ code: 'EMAIL_TAKEN' })
    const second = await world.people.setup.createOwner({ ...owner, email: 'grace@example.org' })
    expect(second.organisation.slug).toBe('organisation-2')
    await world.people.keys.ensureKey(secret, 'bootstrap')
    await world.people.keys.ensureKey(secret, 'bootstrap')
    const program = world.client({ authorization: `Bearer ${secret}` })
    expect((await program.get('/keys')).body.items).toMatchObject([{ name: 'bootstrap' }])
    expect((await program.get(`/organisations/${organisation.id}`)).status).toBe(200)
    expect((await program.get(`/organisations/${second.organisation.id}`)).status).toBe(404)
  })

  test('what a key made before there were people becomes the first owner’s, and nobody else’s', async () => {
    const world = await worldOf(await open())
    const secret = `deos_k_${'c'.repeat(43)}`
    await world.people.keys.ensureKey(secret, 'bootstrap')
    const setup = await world.people.setup.ensureSetup()
    const program = world.client({ authorization: `Bearer ${secret}` })
    expect((await program.get('/projects')).body.items).toHaveLength(1)
    const owner = { name: 'Ada', email: 'ada@example.org', password, organisation: 'Lovelace Labs' }
    const claimed = await world.client().post('/session/setup', { ...owner, token: setup!.token })
    const [{ organisation, role }] = claimed.body.memberships
    expect([organisation.slug, organisation.name, role]).toEqual(['local', 'Lovelace Labs', 'owner'])
    expect((await program.get(`/organisations/${organisation.id}`)).status).toBe(200)
    const second = await world.people.setup.createOwner({ ...owner, email: 'grace@example.org' })
    expect(second.organisation.id).not.toBe(organisation.id)
  })

  test('names that would be code in a page come back as data only', async () => {
    const world = await worldOf(await open())
    const { owner } = await firstOwner(world)
    const name = '<img src=x onerror=alert(1)>"\'&'
    const created = await owner.post('/keys', { name })
    expect(created.body.key.name).toBe(name)
    expect(created.headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    })
  })

  test('nobody gives away more than they have', async () => {
    const world = await worldOf(await open())
    const { owner } = await firstOwner(world)
    const developer = (await invited(world, owner, 'developer', 'grace')).client
    expect((await developer.post('/keys', { name: 'a', scopes: ['manage'] })).status).toBe(403)
    const managing = (await owner.post('/keys', { name: 'b', scopes: ['manage'] })).body.key
    expect((await developer.patch(`/keys/${managing.id}`, { name: 'mine' })).status).toBe(403)
    expect((await developer.post('/keys', { name: 'a', scopes: ['read'] })).status).toBe(201)
  })

  test('lists come in pages', async () => {
    const world = await worldOf(await open())
    const { owner, organisation } = await firstOwner(world)
    const names = ['a', 'b', 'c']
    for (const name of names) {
      await owner.post('/keys', { name })
      await owner.post('/projects', { name })
      await owner.post('/invitations', { email: `${name}@example.org`, role: 'viewer' })
    }
    for (const name of names) await owner.post('/organisations', { slug: name, name })
    const own = owner.of(organisation)
    for (const [path, field, expected] of [
      ['/keys', 'name', ['c', 'b', 'a']],
      ['/invitations', 'email', ['c@example.org', 'b@example.org', 'a@example.org']],
      ['/projects', 'name', ['a', 'b', 'c', 'default']],
      ['/organisations', 'slug', ['a', 'b', 'c', 'northern-lab']],
      ['/members', 'name', ['Ada']],
    ] as const) {
      const all: string[] = []
      let cursor: string | null = null
      do {
        const { body } = await own.get(`${path}?limit=1${cursor === null ? '' : `&cursor=${cursor}`}`)
        all.push(...body.items.map((item: Record<string, string>) => item[field]))
        cursor = body.nextCursor
      } while (cursor !== null)
      expect(all, path).toEqual(expected)
    }
    expect((await own.get('/keys?cursor=bm9uc2Vuc2U')).status).toBe(400)
  })

  test('whatever is sent, nothing fails', async () => {
    const world = await worldOf(await open())
    const { owner } = await firstOwner(world)
    const own = Object.keys(world.people.handlers)
    const leaving = ['session.signOut', 'session.changePassword', 'organisations.remove']
    const named = everyRoute(routes).filter(({ group, id }) => own.includes(group) && !leaving.includes(id))
    const position = fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.double(), fc.integer()), {
      maxLength: 2,
    })
    const cursor = fc
      .tuple(fc.constantFrom(...own), fc.oneof(position, fc.string({ unit: 'binary' })))
      .map((whole) => Buffer.from(JSON.stringify(whole)).toString('base64url'))
    const call = fc.constantFrom(...named).chain(({ route }) =>
      fc.record({
        route: fc.constant(route),
        body: spoilt(route.body && sampleOf(route.body)),
        cursor,
        id: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,20}$/),
      }),
    )
    await fc.assert(
      fc.asyncProperty(call, async ({ route, body, cursor: given, id }) => {
        const path = route.path.replace(/\{\w+\}/g, id)
        const query = route.method === 'GET' && route.query !== null ? `?cursor=${given}` : ''
        const { status, body: answer } = await owner.call(route.method, path + query, body)
        expect(status, JSON.stringify(answer)).not.toBe(500)
      }),
      { numRuns: 150 },
    )
  })

  test('settings keep to one currency, and tell gateways of prices', async () => {
    const world = await worldOf(await open())
    const { owner } = await firstOwner(world)
    expect((await owner.get('/settings')).body).toMatchObject({ currency: 'USD', tokenPrices: null })
    const price = (currency: string) => ({ currency, microUnits: '100' })
    const tokenPrices = {
      promptPerMillion: price('USD'),
      cachedPromptPerMillion: price('EUR'),
      completionPerMillion: price('USD'),
    }
    const refused = await owner.patch('/settings', { tokenPrices })
    expect(refused.body.errors).toMatchObject([{ field: 'tokenPrices.cachedPromptPerMillion.currency' }])
    const policy = { regions: ['eu-north'], providers: null }
    const changed = await owner.patch('/settings', {
      tokenPrices: { ...tokenPrices, cachedPromptPerMillion: price('USD') },
      placementPolicy: policy,
      eventDays: 7,
    })
    expect(changed.body).toMatchObject({ eventDays: 7, placementPolicy: policy })
    const [event] = await world.database.queries
      .select()
      .from(schema.events)
      .where(eq(schema.events.type, 'settings.changed'))
    expect(event!.data).toEqual({ fields: ['tokenPrices', 'placementPolicy', 'eventDays'] })
    await expect.poll(() => world.notices.length).toBe(1)
    const budget = { limit: price('EUR'), period: 'day' }
    for (const path of ['/keys', '/projects']) {
      expect((await owner.post(path, { name: 'a', budget })).body.errors).toMatchObject([
        { field: 'budget.limit.currency' },
      ])
    }
  })
})

describe('slugOf()', () => {
  test.each([
    ['Ünïversal Labs, Inc.', 'universal-labs-inc'],
    ['---', 'organisation'],
    ['中文', 'organisation'],
    ['a'.repeat(80), 'a'.repeat(48)],
    [`${'a'.repeat(47)} b`, 'a'.repeat(47)],
  ])('%s is %s', (name, slug) => {
    expect(slugOf(name)).toBe(slug)
  })
})
