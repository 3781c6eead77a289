import { describe, expect, test } from 'vitest'
import { everyRoute } from './contract/every-route.ts'
import {
  type Actor,
  actors,
  isAllowed,
  isKeyAllowed,
  isOrganisational,
  mayGrantRole,
  mayGrantScope,
  permissions,
} from './permissions.ts'
import { routes } from './routes/index.ts'
import { keyScopes } from './schemas/key.ts'
import { roles } from './schemas/role.ts'

const all = everyRoute(routes)

/** By hand, from what each actor is for; the matrix itself is checked against this. */
const mayCall: Readonly<Record<Actor, (id: string) => boolean>> = (() => {
  const open = (id: string) =>
    /^session\.(?!changePassword|inferenceToken)/.test(id) ||
    id === 'worker.challenge' ||
    id === 'worker.join'
  const account = (id: string) =>
    open(id) || ['session.changePassword', 'organisations.list', 'organisations.create'].includes(id)
  const reads = (id: string) =>
    open(id) ||
    (/\.(list|show|series|links|watch|live|logs|follow|followLogs|revisions|preview)$/.test(id) &&
      !/^(worker|gateway|members|invitations|organisations|joinTokens|ledger)\./.test(id)) ||
    id === 'organisations.show'
  const fleet = (id: string) => /^(machines|joinTokens)\./.test(id)
  const builds = (id: string) => /^(models|aliases|deployments|keys)\./.test(id)
  const plays = (id: string) => id === 'session.inferenceToken'
  const people = (id: string) => /^(members|invitations)\.list$/.test(id)
  const money = (id: string) => /^ledger\.(balance|entries)$/.test(id)
  const administers = (id: string) =>
    /^(members|invitations|projects|settings)\./.test(id) || id === 'organisations.update'
  const admin = (id: string) =>
    account(id) || reads(id) || fleet(id) || builds(id) || money(id) || administers(id) || plays(id)
  return {
    anonymous: open,
    person: account,
    viewer: (id) => account(id) || reads(id) || people(id),
    developer: (id) => account(id) || reads(id) || people(id) || builds(id) || plays(id),
    supplier: (id) =>
      account(id) || fleet(id) || money(id) || /^status\./.test(id) || id === 'organisations.show',
    admin,
    owner: (id) => admin(id) || id === 'organisations.remove' || id === 'ledger.deposit',
    'key:read': reads,
    'key:manage': (id) => reads(id) || fleet(id) || builds(id) || money(id),
    'key:inference': open,
    machine: (id) => open(id) || /^worker\./.test(id),
    gateway: (id) => open(id) || /^gateway\./.test(id),
  }
})()

describe.each(actors)('%s', (actor) => {
  test('may call these routes of the own organisation and no others', () => {
    const allowed = all.filter(({ route }) => isAllowed(actor, route.permission, true)).map(({ id }) => id)
    expect(allowed).toEqual(all.filter(({ id }) => mayCall[actor](id)).map(({ id }) => id))
  })

  test('has nothing to say in another organisation', () => {
    for (const { id, route } of all) {
      if (!isOrganisational(route.permission)) continue
      expect(isAllowed(actor, route.permission, false), id).toBe(false)
    }
    for (const permission of permissions) {
      const elsewhere = isAllowed(actor, permission, false)
      if (elsewhere) expect(isAllowed(actor, permission, true), permission).toBe(true)
    }
  })
})

test('the matrix is total', () => {
  expect(new Set(actors).size).toBe(2 + roles.length + keyScopes.length + 2)
  expect(actors).toEqual(expect.arrayContaining([...roles, ...keyScopes.map((scope) => `key:${scope}`)]))
  for (const actor of actors) {
    for (const permission of permissions) {
      expect(isAllowed(actor, permission, true)).toBeTypeOf('boolean')
    }
  }
})

test('every permission is somebody’s and, but for inference, some route’s', () => {
  const used = new Set(all.map(({ route }) => route.permission))
  expect(permissions.filter((permission) => !used.has(permission))).toEqual(['inference:use'])
  for (const permission of permissions) {
    expect(
      actors.some((actor) => isAllowed(actor, permission, true)),
      permission,
    ).toBe(true)
  }
})

test('owners may do what any role may', () => {
  for (const permission of permissions) {
    const anyRole = roles.some((role) => isAllowed(role, permission, true))
    expect(isAllowed('owner', permission, true), permission).toBe(anyRole)
  }
})

test('a key may do what one of its scopes may', () => {
  expect(isKeyAllowed(['inference', 'read'], 'machines:read', true)).toBe(true)
  expect(isKeyAllowed(['inference'], 'machines:read', true)).toBe(false)
  expect(isKeyAllowed([], 'public', true)).toBe(false)
  expect(isKeyAllowed(['manage', 'read'], 'machines:read', false)).toBe(false)
})

test('nobody gives away more than they have', () => {
  expect(roles.filter((role) => mayGrantRole('owner', role))).toEqual(roles)
  expect(roles.filter((role) => mayGrantRole('admin', role))).toEqual([
    'admin',
    'developer',
    'viewer',
    'supplier',
  ])
  const others: Actor[] = ['developer', 'viewer', 'supplier', 'key:manage', 'machine', 'anonymous']
  for (const actor of others)
    expect(
      roles.some((role) => mayGrantRole(actor, role)),
      actor,
    ).toBe(false)
  for (const actor of actors) {
    const scopes = keyScopes.filter((scope) => mayGrantScope(actor, scope))
    const expected: Partial<Record<Actor, readonly string[]>> = {
      owner: keyScopes,
      admin: keyScopes,
      'key:manage': keyScopes,
      developer: ['inference', 'read'],
    }
    expect(scopes, actor).toEqual(expected[actor] ?? [])
  }
})
