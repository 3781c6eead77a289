import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Actor,
  actors,
  apiPrefix,
  everyRoute,
  isAllowed,
  isOrganisational,
  type NamedRoute,
  organisationHeader,
  problemsOf,
  problemTypes,
  type Route,
  routes,
} from '@deos/api'
import { sampleOf } from '@deos/api/testing'
import { type SQL, sql } from 'drizzle-orm'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openDatabase } from '../../apps/control-plane/src/database/open-database.ts'
import { testLogger } from '../../apps/control-plane/src/database/testing/databases.ts'
import { BrowserSession, tokenIn } from './browser-session.ts'
import { ControlPlaneProcess, installationEnv, newInstallation } from './control-plane-process.ts'
import { type PlainAnswer, type PlainRequest, send } from './plain-http.ts'
import { foundTwoOrganisations, modelFolder, type TwoOrganisations } from './two-organisations.ts'

const installation = newInstallation()
const outside = 'this lies outside of all folders that are served'

/** A server of a private network that nobody should be led to. */
async function privateServer(
  answer: (path: string) => { readonly status: number; readonly location?: string },
) {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    const { status, location } = answer(request.url ?? '')
    response.writeHead(status, location === undefined ? {} : { location })
    response.end('{}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const close = () => new Promise((resolve) => server.close(resolve))
  return { port, asked, close }
}

let folder: string
let plane: ControlPlaneProcess
let url: string
let world: TwoOrganisations
let hidden: Awaited<ReturnType<typeof privateServer>>
let hub: Awaited<ReturnType<typeof privateServer>>
/** Every answer that was a refusal. */
const refusals: string[] = []

async function ask(request: PlainRequest): Promise<PlainAnswer> {
  const answer = await send(url, request)
  if (answer.status >= 400) refusals.push(answer.text)
  return answer
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'deos-security-'))
  const consoleFolder = join(folder, 'console')
  await mkdir(join(consoleFolder, 'assets'), { recursive: true })
  await writeFile(join(consoleFolder, 'index.html'), '<!doctype html><title>Console</title>')
  await writeFile(join(consoleFolder, 'assets', 'app-0123456789.js'), 'export {}')
  await writeFile(join(consoleFolder, '.hidden'), outside)
  await writeFile(join(folder, 'outside.txt'), outside)
  await mkdir(join(folder, 'models'))
  await symlink(folder, join(folder, 'models', 'link'))
  hidden = await privateServer(() => ({ status: 200 }))
  hub = await privateServer(() => ({ status: 307, location: `http://127.0.0.1:${hidden.port}/stolen` }))
  plane = new ControlPlaneProcess(
    [
      ...['--data', join(folder, 'data'), '--console', consoleFolder, '--log-level', 'trace'],
      ...['--model-folders', `${modelFolder},${join(folder, 'models')}`],
      ...['--allowed-hosts', `127.0.0.1:${hub.port}`],
    ],
    installationEnv(installation),
  )
  const ready = await plane.ready()
  url = ready.url
  world = await foundTwoOrganisations(url, ready.setupUrl!, installation)
})

afterAll(async () => {
  await world?.ours.machine.stop()
  await world?.theirs.machine.stop()
  plane?.signal('SIGKILL')
  await plane?.ended
  await Promise.all([hidden?.close(), hub?.close()])
  await rm(folder, { recursive: true, force: true })
})

describe('sessions', () => {
  test('the cookie is out of reach for scripts and other sites', async () => {
    const [line] = world.ours.owner.setCookies
    expect(line).toMatch(/^deos\.session_token=/)
    const attributes = line!.toLowerCase().split('; ').slice(1)
    expect(attributes).toEqual(expect.arrayContaining(['httponly', 'samesite=lax', 'path=/']))
    expect(attributes).not.toContain('secure')
  })

  test('pages of other sites change nothing, whatever the browser sends along', async () => {
    const { headers } = world.ours.owner
    const { cookie } = headers
    const project = (from: Record<string, string>, contentType = 'application/json') =>
      ask({
        ...{ method: 'POST', path: `${apiPrefix}/projects`, body: JSON.stringify({ name: 'forged' }) },
        headers: { cookie: cookie!, 'content-type': contentType, ...from },
      })
    const foreign = [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: `${url}.evil.example` },
      { origin: url.replace(/\d+$/, '1') },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site', origin: url },
    ]
    for (const from of foreign) {
      const { status, text } = await project(from)
      expect([status, JSON.parse(text).code], JSON.stringify(from)).toEqual([403, 'CROSS_SITE'])
    }
    // Programs with a stolen cookie do not say where they are.
    expect((await project({})).status).toBe(401)
    const simple = await project({ origin: url }, 'text/plain')
    expect(simple.status).toBe(415)
    const read = await ask({ path: `${apiPrefix}/projects`, headers: { cookie: cookie!, ...foreign[0] } })
    expect(read.headers['access-control-allow-origin']).toBeUndefined()
    expect(read.text).not.toContain('forged')
    const preflight = await ask({
      ...{ method: 'OPTIONS', path: `${apiPrefix}/projects` },
      headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' },
    })
    expect(preflight.headers['access-control-allow-origin']).toBeUndefined()
  })

  test('whoever guesses passwords is stopped, wherever they claim to be', { timeout: 60_000 }, async () => {
    const publicUrl = 'https://deos.example.org'
    const other = new ControlPlaneProcess(['--public-url', publicUrl])
    try {
      const { url: shown, setupUrl } = await other.ready()
      expect(shown).toBe(publicUrl)
      const listening = `http://${/Listening at http:\/\/([^"\s]+?)\.?"/.exec(other.stderr)![1]}`
      const person = new BrowserSession(listening, publicUrl)
      const email = 'ada@example.org'
      const password = 'correct horse battery'
      await person.json('POST', '/session/setup', {
        ...{ token: tokenIn(setupUrl!), name: 'Ada', email, password, organisation: 'Lab' },
      })
      expect(person.setCookies[0]).toMatch(/^__Secure-deos\.session_token=.*; Secure/i)
      const attempt = async (given: string, index: number) => {
        const headers = { 'x-forwarded-for': `203.0.113.${index}` }
        return person.send('POST', '/session', { body: { email, password: given }, headers })
      }
      const statuses: number[] = []
      for (let index = 0; index < 12; index += 1) {
        statuses.push((await attempt(`wrong ${index}`, index)).status)
      }
      expect(statuses).toEqual([...new Array(10).fill(401), 429, 429])
      const right = await attempt(password, 99)
      expect([right.status, Number(right.headers['retry-after'])]).toEqual([429, expect.any(Number)])
      const unknown = []
      for (let index = 0; index < 25; index += 1) {
        const body = { email: `nobody-${index}@example.org`, password }
        unknown.push((await person.send('POST', '/session', { body })).status)
      }
      // Of one address, whatever the account.
      expect(new Set(unknown)).toEqual(new Set([401, 429]))
    } finally {
      other.signal('SIGKILL')
      await other.ended
    }
  })
})

describe('addresses that people name', () => {
  const refused = (port: number) => [
    `http://127.0.0.1:${port}`,
    `https://127.0.0.1:${port}`,
    `https://localhost:${port}`,
    'http://169.254.169.254',
    'https://169.254.169.254',
    `https://[::1]:${port}`,
    `https://[::ffff:127.0.0.1]:${port}`,
    `https://2130706433:${port}`,
    `https://0x7f.1:${port}`,
    'https://10.0.0.1',
    'https://[fd00::1]',
    `https://user:password@127.0.0.1:${port}`,
    'file:///etc/passwd',
  ]

  /** What became of a model that is to be fetched from there. */
  async function fetched(hubUrl: string): Promise<string> {
    const { client } = world.ours
    const source = { kind: 'huggingface', repository: 'owner/name', hubUrl } as const
    try {
      const { id } = await client.models.create({ body: { name: `model-${randomUUID()}`, source } })
      for (;;) {
        const { state, reason } = await client.models.show({ params: { model: id } })
        if (state === 'failed') return reason.message
        expect(state).not.toBe('ready')
        await sleep(100)
      }
    } catch (error) {
      return (error as Error).message
    }
  }

  test('lead into no private network', async () => {
    const outcomes = new Map<string, string>()
    for (const address of refused(hidden.port)) outcomes.set(address, await fetched(address))
    for (const [address, outcome] of outcomes) {
      expect(outcome, address).toMatch(/may not be|not called|is not|must not|must begin|not valid|refus/i)
    }
    expect(hidden.asked).toEqual([])
  })

  test('nor do redirects of a hub that is allowed', async () => {
    const outcome = await fetched(`http://127.0.0.1:${hub.port}`)
    expect(outcome).toContain(`127.0.0.1:${hidden.port}`)
    expect(hub.asked.length).toBeGreaterThan(0)
    expect(hidden.asked).toEqual([])
  })
})

describe('paths', () => {
  test('of models stay in the folders that are open', async () => {
    const create = (source: unknown, name = `model-${randomUUID()}`) =>
      world.ours.owner.send('POST', '/models', { body: { name, source } })
    const paths = [
      '/etc/passwd',
      '/etc',
      `${modelFolder}/../../etc/passwd`,
      `${modelFolder}/..`,
      `${modelFolder}-other`,
      join(folder, 'models', 'link', 'outside.txt'),
      join(folder, 'models', 'link'),
      'models/deos-1m',
      `${modelFolder}\0/etc/passwd`,
    ]
    for (const path of paths) {
      const { status, text } = await create({ kind: 'path', path })
      refusals.push(text)
      expect([400, 403, 404, 422], `${path}: ${text}`).toContain(status)
    }
    const hubSource = { kind: 'huggingface', repository: 'owner/name' }
    for (const source of [
      { ...hubSource, repository: '../..' },
      { ...hubSource, repository: 'owner/..' },
      { ...hubSource, file: '../../etc/passwd' },
      { ...hubSource, file: '/etc/passwd' },
      { ...hubSource, revision: '../../main' },
    ]) {
      expect((await create(source)).status, JSON.stringify(source)).toBe(400)
    }
    for (const name of ['../evil', 'a/../../b', '/etc/passwd', '.hidden', 'a\\..\\b', 'a%2f..%2fb']) {
      expect((await create({ kind: 'path', path: modelFolder }, name)).status, name).toBe(400)
    }
  })

  test('of files stay in the console’s folder', async () => {
    const paths = [
      '/../outside.txt',
      '/..%2foutside.txt',
      '/%2e%2e/outside.txt',
      '/%2e%2e%2foutside.txt',
      '/assets/../../outside.txt',
      '/assets/..%5c..%5coutside.txt',
      '/assets/%2e%2e%5c%2e%2e%5coutside.txt',
      '//outside.txt',
      `/${folder}/outside.txt`,
      '/%00/../outside.txt',
      '/.hidden',
      '/%2ehidden',
      '/..;/outside.txt',
    ]
    for (const path of paths) {
      const { status, text } = await ask({ path })
      expect(text, path).not.toContain(outside)
      expect(status, path).toBeLessThan(500)
    }
    expect((await ask({ path: '/assets/app-0123456789.js' })).text).toBe('export {}')
  })
})

describe('what people and machines write', () => {
  const script = '<script>alert(1)</script><img src=x onerror=alert(1)>'

  test('comes back as data that no browser takes for a page', async () => {
    const { owner, machine } = world.ours
    await owner.json('POST', '/projects', { name: 'xss', title: script })
    const log = await ask({
      ...{ method: 'POST', path: `${apiPrefix}/worker/logs` },
      headers: { authorization: `Bearer ${machine.credential}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        incarnation: 1,
        lines: [{ at: new Date().toISOString(), level: 'error', stageId: null, message: script }],
      }),
    })
    expect(log.status, log.text).toBe(204)
    const missing = `/${encodeURIComponent(script)}`
    const listed = await owner.send('GET', '/projects')
    const unknown = await owner.send('GET', missing)
    const refused = await owner.send('POST', '/projects', { body: { name: script } })
    expect(listed.text).toContain(script)
    expect([listed, unknown, refused].map(({ status }) => status)).toEqual([200, 404, 400])
    for (const { headers, text } of [listed, unknown, refused]) {
      expect(headers['content-type']).toMatch(/^application\/(problem\+)?json/)
      expect(headers['x-content-type-options']).toBe('nosniff')
      expect(headers['content-security-policy']).toBe("default-src 'none'; frame-ancestors 'none'")
      expect(() => JSON.parse(text)).not.toThrow()
    }
    const page = await ask({ path: missing })
    expect(page.text).not.toContain('alert(1)')
    expect(page.headers['x-content-type-options']).toBe('nosniff')
    const policy = String((await ask({ path: '/' })).headers['content-security-policy'])
    expect(policy).toContain("default-src 'self'")
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toMatch(/script-src|default-src[^;]*'unsafe/)
  })
})

/** Bodies that a caller may always send, where a sample asks for more than some callers may give. */
const plainBodies = (): Readonly<Record<string, unknown>> => ({
  'invitations.create': { email: 'owner@example.org', role: 'viewer' },
  'members.update': { role: 'viewer' },
  'keys.create': { name: 'matrix', scopes: ['inference'] },
  'keys.update': { name: 'matrix' },
  'models.create': { name: 'matrix', source: { kind: 'path', path: join(folder, 'models') } },
})

/** Streams begin before what they are about is looked up: whoever asks is told by an event. */
function statusOf({ status, text }: PlainAnswer): number {
  const told = /^event: problem\ndata: (.*)$/m.exec(text)
  return told === null ? status : JSON.parse(told[1]!).status
}

function requestOf({ id, route }: NamedRoute, ids: Readonly<Record<string, string>>): PlainRequest {
  const path = route.path.replace(/\{([A-Za-z]+)\}/g, (_, name: string) =>
    encodeURIComponent(ids[name] ?? sampleOf(route.params[name]!)),
  )
  const body = route.body && (plainBodies()[id] ?? sampleOf(route.body))
  return {
    ...{ method: route.method, path: apiPrefix + path },
    headers: body === null ? {} : { 'content-type': 'application/json' },
    ...(body !== null && { body: JSON.stringify(body) }),
  }
}

const withHeaders = (request: PlainRequest, ...more: Readonly<Record<string, string>>[]): PlainRequest => ({
  ...request,
  headers: Object.assign({}, request.headers, ...more),
})

/** What may be answered to somebody who may call. */
function answersOf(route: Route): ReadonlySet<number> {
  const problems = problemsOf(route)
    .filter((name) => !['internal', 'forbidden'].includes(name))
    .filter((name) => name !== 'unauthenticated' || route.errors.includes(name))
  // What is named in a body or was found meanwhile may not be there, or not be as it must.
  return new Set([
    route.answer.status,
    ...[...problems, 'not-found' as const, 'conflict' as const, 'infeasible' as const].map(
      (name) => problemTypes[name].status,
    ),
  ])
}

describe.each(actors)('the rules for %s', (actor: Actor) => {
  // Signing out would end the session of all that follows.
  const called = everyRoute(routes).filter(({ id }) => id !== 'session.signOut')

  test('hold in the own organisation', async () => {
    const { headersOf, ours } = world
    for (const named of called) {
      const { id, route } = named
      const request = requestOf(named, { organisation: ours.id })
      const mine = isOrganisational(route.permission) ? { [organisationHeader]: ours.id } : {}
      const { status, text } = await ask(withHeaders(request, headersOf.get(actor)!, mine))
      const told = `${id}: ${status} ${text}`
      if (isAllowed(actor, route.permission, true)) {
        expect([...answersOf(route)], told).toContain(status)
      } else if (actor === 'anonymous') {
        expect(status, told).toBe(401)
      } else {
        const known = actor === 'person' && 'organisation' in route.params
        expect(status, told).toBe(known ? 404 : 403)
      }
    }
  })

  test('end at another organisation', async () => {
    const { headersOf, theirs } = world
    for (const named of called) {
      const { id, route } = named
      if (!isOrganisational(route.permission)) continue
      const headers = { ...headersOf.get(actor)!, [organisationHeader]: theirs.id }
      const request = requestOf(named, { organisation: theirs.id })
      const { status, text } = await ask(withHeaders(request, headers))
      const inPath = 'organisation' in route.params && actor !== 'gateway'
      const expected = actor === 'anonymous' ? 401 : inPath ? 404 : 403
      expect(status, `${id}: ${text}`).toBe(expected)
    }
  })

  test('end at things of another organisation', async () => {
    const { headersOf, ours, theirIds } = world
    for (const named of called) {
      const { id, route } = named
      const names = Object.keys(route.params)
      if (!isAllowed(actor, route.permission, true) || !isOrganisational(route.permission)) continue
      if (names.length === 0 || names.some((name) => theirIds[name] === undefined)) continue
      if (names.includes('organisation')) continue
      const headers = { ...headersOf.get(actor)!, [organisationHeader]: ours.id }
      const request = { ...requestOf(named, theirIds), untilEvent: true }
      const answer = await ask(withHeaders(request, headers))
      expect(statusOf(answer), `${id}: ${answer.text}`).toBe(404)
    }
  })
})

test('nothing of the other organisation has changed', async () => {
  const { client, owner } = world.theirs
  const { theirIds } = world
  const [machine, deployment, model] = await Promise.all([
    client.machines.show({ params: { machine: theirIds.machine! } }),
    client.deployments.show({ params: { deployment: theirIds.deployment! } }),
    client.models.show({ params: { model: theirIds.model! } }),
  ])
  expect(machine).toMatchObject({ name: 'machine-of-theirs', cordon: null, drain: null, quarantines: [] })
  expect(deployment.deployment).toMatchObject({ revision: 1, replicas: { wanted: 1 } })
  expect(model.state).toBe('ready')
  const keys = await owner.json('GET', '/keys')
  expect(keys.items.map(({ name }: { name: string }) => name).sort()).toEqual(['another', 'theirs'])
  const { items } = await owner.json('GET', '/invitations')
  expect(items.map(({ state }: { state: string }) => state)).toEqual(['pending'])
})

test('whatever is sent, nothing fails', { timeout: 120_000 }, async () => {
  const all = everyRoute(routes).filter(({ id }) => id !== 'session.signOut')
  const anything = fc.oneof(
    fc.json(),
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.constantFrom('{"__proto__":{"a":1}}', '[]', 'null', '"x"', '{"constructor":1}', '['.repeat(5_000)),
  )
  const spoilt = (named: NamedRoute) => {
    if (named.route.body === null) return anything
    const sample = sampleOf(named.route.body) as object
    return fc
      .tuple(fc.constantFrom(...Object.keys(sample), 'extra'), fc.jsonValue())
      .map(([field, value]) => JSON.stringify({ ...sample, [field]: value }))
  }
  const word = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.constantFrom('..', '%', '\0', "' or 1=1--", '<b>', '9'.repeat(30), '-1', 'a'.repeat(600)),
  )
  const wellFormed = (text: string) => encodeURIComponent(text.replace(/\p{Cs}/gu, '�'))
  const requests = fc.tuple(fc.constantFrom(...all), fc.constantFrom(...actors)).chain(([named, actor]) =>
    fc.record({
      named: fc.constant(named),
      actor: fc.constant(actor),
      body: fc.oneof(anything, spoilt(named)),
      segment: fc.oneof(word, fc.constantFrom(...Object.values(world.theirIds))),
      field: fc.oneof(fc.constantFrom('limit', 'cursor', 'name', 'state', 'window', 'by', 'from'), word),
      value: word,
      key: fc.option(fc.stringMatching(/^[A-Za-z0-9_.:-]{1,20}$/)),
    }),
  )
  await fc.assert(
    fc.asyncProperty(requests, async ({ named, actor, body, segment, field, value, key }) => {
      const { id, route } = named
      const filled = route.path.replace(/\{([A-Za-z]+)\}/g, () => wellFormed(segment))
      const path = `${apiPrefix}${filled}?${wellFormed(field)}=${wellFormed(value)}`
      const { status, text } = await ask({
        ...{ method: route.method, path },
        headers: {
          ...world.headersOf.get(actor)!,
          'content-type': 'application/json',
          ...(key !== null && { 'idempotency-key': key }),
        },
        ...(route.method !== 'GET' && { body }),
      })
      expect(status, `${id}: ${text}`).not.toBe(500)
      if (status >= 400 && text !== '') expect(JSON.parse(text).type).toMatch(/^urn:deos:problem:/)
    }),
    { numRuns: 400, seed: 4_2026 },
  )
  expect((await ask({ path: '/live' })).status).toBe(200)
})

describe('secrets', () => {
  /** Which of them stand in a text. */
  const seenIn = (text: string): readonly string[] =>
    [...world.secrets].filter(([, secret]) => text.includes(secret)).map(([name]) => name)

  test('shown in the wrong place are not repeated', async () => {
    for (const [name, secret] of world.secrets) {
      const inPath = encodeURIComponent(secret)
      const json = { 'content-type': 'application/json' }
      const answers = [
        await ask({ path: `${apiPrefix}/projects`, headers: { authorization: `Bearer x${secret}` } }),
        await ask({ path: `${apiPrefix}/projects`, headers: { authorization: `Basic ${inPath}` } }),
        await ask({ path: `${apiPrefix}/machines/${inPath}?state=${inPath}` }),
        await ask({ path: `${apiPrefix}/${inPath}` }),
        await ask({ method: 'POST', path: `${apiPrefix}/session`, headers: json, body: `{"a":"${secret}` }),
        await ask({
          ...{ method: 'POST', path: `${apiPrefix}/session`, headers: json },
          body: JSON.stringify({ email: secret, password: secret, name: secret }),
        }),
        await ask({
          ...{ method: 'POST', path: `${apiPrefix}/worker/join`, headers: json },
          body: JSON.stringify({ token: secret, publicKey: secret }),
        }),
      ]
      for (const { status } of answers) expect(status, name).toBeGreaterThanOrEqual(400)
    }
    expect(refusals.length).toBeGreaterThan(500)
    expect(seenIn(refusals.join('\n'))).toEqual([])
  })

  test('stand neither in metrics nor in events', async () => {
    const metrics = await ask({ path: '/metrics' })
    expect(metrics.text).toContain('deos_')
    const events: string[] = []
    for (const { owner } of [world.ours, world.theirs]) {
      for (let cursor: string | null = ''; cursor !== null; ) {
        const { items, nextCursor } = await owner.json(
          'GET',
          `/events?limit=200${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`,
        )
        events.push(JSON.stringify(items))
        cursor = nextCursor
      }
    }
    expect(events.join('')).toContain('key.created')
    expect(seenIn(metrics.text + events.join('\n'))).toEqual([])
  })

  test('stand neither in what the process said nor in its database', { timeout: 60_000 }, async () => {
    await Promise.all([world.ours.machine.stop(), world.theirs.machine.stop()])
    expect(await plane.stop()).toEqual({ code: 0, signal: null })
    expect(plane.stderr).toContain('Answered.')
    expect(seenIn(plane.stdout + plane.stderr)).toEqual([])
    const data = join(folder, 'data')
    const entries = await readdir(data, { recursive: true, withFileTypes: true })
    const files = entries.filter((entry) => entry.isFile())
    expect(files.length).toBeGreaterThan(100)
    for (const { parentPath, name } of files) {
      const path = join(parentPath, name)
      expect(seenIn(await readFile(path, 'latin1')), path).toEqual([])
    }
    // Long values are compressed in the files.
    const database = await openDatabase(
      { url: null, folder: join(data, 'database'), thread: null },
      testLogger,
    )
    try {
      const read = async (query: SQL) =>
        ((await database.queries.execute(query)) as { rows: { text: string }[] }).rows.map(({ text }) => text)
      const tables = await read(
        sql`select table_name as text from information_schema.tables where table_schema = 'public'`,
      )
      expect(tables.length).toBeGreaterThan(20)
      for (const table of tables) {
        const rows = await read(sql`select to_jsonb(t)::text as text from ${sql.identifier(table)} t`)
        expect(seenIn(rows.join('\n')), table).toEqual([])
      }
    } finally {
      await database.close()
    }
  })
})
