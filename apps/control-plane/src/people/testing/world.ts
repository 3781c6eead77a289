import { organisationHeader } from '@deos/api'
import { createLogger, systemIds } from '@deos/service'
import type { Database } from '../../database/database.ts'
import { EventStore } from '../../events/event-store.ts'
import { StoredIdempotency } from '../../http/idempotency.ts'
import { stubHandlers } from '../../http/testing/stub-handlers.ts'
import { createTestServer, type TestServer } from '../../http/testing/test-server.ts'
import type { AttemptLimitOptions } from '../attempt-limits.ts'
import { createPeople, type People } from '../people.ts'

export interface Answer {
  readonly status: number
  /** As it was parsed: what a test reads of it is what it asserts. */
  readonly body: ReturnType<typeof JSON.parse>
  readonly headers: Readonly<Record<string, unknown>>
}

/** Somebody with a browser, or a program with a key. */
export class Client {
  #cookies = new Map<string, string>()
  constructor(
    private readonly server: TestServer,
    private readonly seen: string[],
    private readonly headers: Readonly<Record<string, string>> = { 'sec-fetch-site': 'same-origin' },
  ) {}

  /** The same caller with other headers as well. */
  with(headers: Readonly<Record<string, string>>): Client {
    const other = new Client(this.server, this.seen, { ...this.headers, ...headers })
    other.#cookies = this.#cookies
    return other
  }

  of(organisation: string): Client {
    return this.with({ [organisationHeader]: organisation })
  }

  async call(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
  ): Promise<Answer> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const answer = await this.server.app.inject({
      method,
      url: `/api/v1${path}`,
      headers: {
        ...this.headers,
        ...(cookie !== '' && { cookie }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { payload: JSON.stringify(body) }),
    })
    for (const { name, value, maxAge } of answer.cookies) {
      if (value === '' || maxAge === 0) this.#cookies.delete(name)
      else this.#cookies.set(name, encodeURIComponent(value))
    }
    if (answer.statusCode >= 400) this.seen.push(answer.body)
    const parsed = answer.body === '' ? null : JSON.parse(answer.body)
    return { status: answer.statusCode, body: parsed, headers: answer.headers }
  }

  readonly get = (path: string) => this.call('GET', path)
  readonly post = (path: string, body?: unknown) => this.call('POST', path, body)
  readonly patch = (path: string, body: unknown) => this.call('PATCH', path, body)
  readonly delete = (path: string) => this.call('DELETE', path)
}

/** The real server with real people over a database; machines and the like are stubs. */
export interface World {
  readonly database: Database
  readonly people: People
  /** All that was logged. */
  logged(): string
  /** Bodies of all refusals so far. */
  readonly refusals: string[]
  readonly remaining: { machines: number; deployments: number }
  readonly notices: string[]
  client(headers?: Readonly<Record<string, string>>): Client
  pass(ms: number): void
  close(): Promise<void>
}

export const password = 'correct horse battery'

const generous: AttemptLimitOptions = {
  perAddress: { attempts: 1000, windowMs: 60_000 },
  perAccount: { attempts: 1000, windowMs: 60_000 },
}

export async function createWorld(
  database: Database,
  {
    attemptLimits = generous,
    publicUrl = 'http://localhost',
  }: {
    readonly attemptLimits?: AttemptLimitOptions
    readonly publicUrl?: string
  } = {},
): Promise<World> {
  let aheadMs = 0
  const now = () => new Date(Date.now() + aheadMs)
  const remaining = { machines: 0, deployments: 0 }
  const refusals: string[] = []
  const notices: string[] = []
  const stopListening = database.listen('routing', (payload) => notices.push(payload))
  const logged: string[] = []
  const sink = { write: (line: string) => void logged.push(line) }
  const logger = createLogger({ name: 'test', level: 'trace', format: 'json' }, sink)
  const people = createPeople(
    { sessionSecret: 's'.repeat(64), publicUrl, attemptLimits },
    {
      database,
      events: new EventStore(database),
      ids: systemIds,
      now,
      logger,
      version: () => ({ version: '0.1.0', workerProtocols: { min: 1, max: 1 }, gatewayUrl: null }),
      spentOf: async (limits) => new Map(limits.map(({ budget }) => [budget, 1_500_000n])),
      remainingOf: async () => remaining,
    },
  )
  const server = await createTestServer({
    publicUrl,
    handlers: stubHandlers(people.handlers),
    sources: { ...people.credentials, gatewayToken: 'deos_g_world' },
    idempotency: new StoredIdempotency(database, now),
  })
  return {
    database,
    people,
    logged: () => [...logged, ...server.logged].join(''),
    refusals,
    remaining,
    notices,
    client: (headers) => new Client(server, refusals, headers),
    pass: (ms) => {
      aheadMs += ms
    },
    close: async () => {
      stopListening()
      await server.app.close()
    },
  }
}

/** Somebody signed in as the owner of a first organisation. */
export async function firstOwner(world: World) {
  const setup = await world.people.setup.ensureSetup()
  const owner = world.client()
  const answer = await owner.post('/session/setup', {
    token: setup!.token,
    name: 'Ada',
    email: 'ada@example.org',
    password,
    organisation: 'Northern Lab',
  })
  const organisation: string = answer.body.memberships[0].organisation.id
  return { owner, organisation, userId: answer.body.user.id as string, token: setup!.token }
}

/** Invites somebody and lets them accept with a new account. */
export async function invited(world: World, owner: Client, role: string, name: string) {
  const invitation = await owner.post('/invitations', { email: `${name}@example.org`, role })
  const token = new URL(invitation.body.link).hash.replace('#token=', '')
  const client = world.client()
  const accepted = await client.post('/session/invitation', { token, account: { name, password } })
  return {
    client,
    token,
    accepted,
    userId: accepted.body.user?.id as string,
    invitation: invitation.body.invitation,
  }
}
