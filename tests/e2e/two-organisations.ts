import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Actor, type KeyScope, keyScopes, type Role } from '@deos/api'
import { sampleOf } from '@deos/api/testing'
import { type ApiClient, answeredRequestSchema, connect } from '@deos/sdk'
import { BrowserSession, tokenIn } from './browser-session.ts'
import type { InstallationSecrets } from './control-plane-process.ts'
import { SimulatedMachine } from './simulated-machine.ts'

export const modelFolder = fileURLToPath(new URL('../../models/deos-1m', import.meta.url))

export interface Organisation {
  readonly id: string
  readonly owner: BrowserSession
  /** With a key that may do everything that keys may. */
  readonly client: ApiClient
  readonly machine: SimulatedMachine
}

/** Two organisations, and somebody of each kind who belongs to the first. */
export interface TwoOrganisations {
  readonly ours: Organisation
  readonly theirs: Organisation
  /** What each kind of caller of the first shows. */
  readonly headersOf: ReadonlyMap<Actor, Readonly<Record<string, string>>>
  /** Of the second, of everything that has an address, by the name of the path's parameter. */
  readonly theirIds: Readonly<Record<string, string>>
  /** All that must never be seen again, by what it is. */
  readonly secrets: ReadonlyMap<string, string>
}

const invitedRoles = ['admin', 'developer', 'viewer', 'supplier'] as const satisfies readonly Role[]

export async function foundTwoOrganisations(
  url: string,
  setupUrl: string,
  { bootstrapKey, gatewayToken }: InstallationSecrets,
): Promise<TwoOrganisations> {
  const founding = new Founding(url)
  const { secrets } = founding
  secrets.set('bootstrap key', bootstrapKey)
  secrets.set('gateway token', gatewayToken)
  const owner = new BrowserSession(url)
  const { memberships } = await owner.json('POST', '/session/setup', {
    ...{ token: tokenIn(setupUrl), name: 'Ada', email: 'owner@example.org' },
    ...{ password: founding.newPassword('owner'), organisation: 'Northern Lab' },
  })
  const ourId: string = memberships[0].organisation.id
  const sessions = new Map<Actor, BrowserSession>([['owner', owner]])
  for (const role of invitedRoles) sessions.set(role, await founding.invited(owner, role, role))
  sessions.set('person', await founding.left(owner, 'person'))
  const other = await founding.left(owner, 'other')
  // The slug that samples have, so that nobody can found it again.
  const { id: theirId } = await other.json('POST', '/organisations', { slug: 'chat', name: 'Their Lab' })
  const ours = await founding.organisation('ours', ourId, owner)
  const theirs = await founding.organisation('theirs', theirId, other)
  const { token } = await owner.json('POST', '/session/inference-token')
  secrets.set('inference token', token)
  for (const [actor, { cookies }] of sessions) {
    for (const [name, value] of cookies) secrets.set(`${name} of ${actor}`, decodeURIComponent(value))
  }
  const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` })
  const scoped = async (scope: KeyScope) => {
    const { secret } = await owner.json('POST', '/keys', { name: scope, scopes: [scope] })
    secrets.set(`key for ${scope}`, secret)
    return [`key:${scope}`, bearer(secret)] as const
  }
  const keys: (readonly [Actor, Readonly<Record<string, string>>])[] = []
  for (const scope of keyScopes) keys.push(await scoped(scope))
  const headersOf = new Map<Actor, Readonly<Record<string, string>>>([
    ['anonymous', {}],
    ...[...sessions].map(([actor, { headers }]) => [actor, headers] as const),
    ...keys,
    ['machine', bearer(ours.machine.credential)],
    ['gateway', bearer(gatewayToken)],
  ])
  const gateway = connect({ url, token: gatewayToken })
  return { ours, theirs, headersOf, theirIds: await everythingOf(theirs, gateway), secrets }
}

class Founding {
  readonly secrets = new Map<string, string>()

  constructor(private readonly url: string) {}

  newPassword(of: string): string {
    const password = `pass ${randomUUID()}`
    this.secrets.set(`password of ${of}`, password)
    return password
  }

  /** Comes by the link that the owner was shown. */
  async invited(owner: BrowserSession, name: string, role: Role): Promise<BrowserSession> {
    const { link } = await owner.json('POST', '/invitations', { email: `${name}@example.org`, role })
    const token = tokenIn(link)
    this.secrets.set(`invitation of ${name}`, token)
    const session = new BrowserSession(this.url)
    const account = { name, password: this.newPassword(name) }
    await session.json('POST', '/session/invitation', { token, account })
    return session
  }

  /** Has an account, and is a member of nothing any more. */
  async left(owner: BrowserSession, name: string): Promise<BrowserSession> {
    const session = await this.invited(owner, name, 'viewer')
    const { user } = await session.json('GET', '/session')
    await owner.json('DELETE', `/members/${user.id}`)
    return session
  }

  async organisation(name: string, id: string, owner: BrowserSession): Promise<Organisation> {
    const { url, secrets } = this
    const scopes = ['manage', 'inference', 'read']
    const { secret } = await owner.json('POST', '/keys', { name, scopes })
    secrets.set(`key of ${name}`, secret)
    const client = connect({ url, token: secret })
    const { secret: joinToken } = await client.joinTokens.create({
      body: { name },
      idempotencyKey: randomUUID(),
    })
    secrets.set(`join token of ${name}`, joinToken)
    const { version } = await client.session.version()
    const machine = new SimulatedMachine(url, {
      ...{ name: `machine-of-${name}`, joinToken, version, memoryBytes: 4e9, heartbeatMs: 1_000 },
      ...{ otherThan: () => url, onAssignments: () => {} },
    })
    await machine.join()
    secrets.set(`credential of ${name}`, machine.credential)
    return { id, owner, client, machine }
  }
}

/** Something of everything that has an address. */
async function everythingOf(
  { id: organisationId, owner, client, machine }: Organisation,
  gateway: ApiClient,
): Promise<Readonly<Record<string, string>>> {
  const { id: model } = await client.models.create({ body: { source: { kind: 'path', path: modelFolder } } })
  let shown = await client.models.show({ params: { model } })
  while (shown.state !== 'ready') {
    if (shown.state === 'failed') throw new Error(shown.reason.message)
    await sleep(100)
    shown = await client.models.show({ params: { model } })
  }
  const { id: deployment } = await client.deployments.create({
    body: { name: 'theirs', spec: { modelId: model, sessions: 1 } },
  })
  let decisions = await client.decisions.list()
  while (decisions.items.length === 0) {
    await sleep(100)
    decisions = await client.decisions.list()
  }
  const project = await owner.json('POST', '/projects', { name: 'second' })
  const { key } = await owner.json('POST', '/keys', { name: 'another', scopes: ['read'] })
  const { joinToken } = await owner.json('POST', '/join-tokens', { name: 'another' })
  const { invitation } = await owner.json('POST', '/invitations', {
    ...{ email: 'somebody@example.org', role: 'viewer' },
  })
  const { user } = await owner.json('GET', '/session')
  const record = answeredRequestSchema.parse({
    ...sampleOf(answeredRequestSchema),
    ...{ id: 'request-of-theirs', organisationId, projectId: project.id, keyId: null, userId: null },
    ...{ deploymentId: null, replicaId: null, reserved: false, timeline: [], hops: [], split: null },
  })
  await gateway.gateway.record({ body: { requests: [record] } })
  return {
    ...{ model, deployment, decision: decisions.items[0]!.id, project: project.id, key: key.id },
    ...{ joinToken: joinToken.id, invitation: invitation.id, user: user.id, machine: machine.id },
    ...{ request: record.id, organisation: organisationId, digest: shown.digest! },
  }
}
