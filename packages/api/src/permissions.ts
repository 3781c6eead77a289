import type { KeyScope } from './schemas/key.ts'
import type { Role } from './schemas/role.ts'

/**
 * Who asks: nobody known, a signed-in person who is no member of the organisation, a member by role, an API key by
 * scope, a machine with the credential it got when it joined, or a gateway with the operator's token.
 */
export type Actor = 'anonymous' | 'person' | Role | `key:${KeyScope}` | 'machine' | 'gateway'

export const actors = [
  'anonymous',
  'person',
  'owner',
  'admin',
  'developer',
  'viewer',
  'supplier',
  'key:inference',
  'key:manage',
  'key:read',
  'machine',
  'gateway',
] as const satisfies readonly Actor[]

const members = ['owner', 'admin', 'developer', 'viewer', 'supplier'] as const
const administrators = ['owner', 'admin'] as const
const readers = ['owner', 'admin', 'developer', 'viewer', 'key:manage', 'key:read'] as const
const builders = ['owner', 'admin', 'developer', 'key:manage'] as const
const fleetKeepers = ['owner', 'admin', 'supplier', 'key:manage'] as const

/** Who may do what within their own organisation. */
const allowed = {
  /** Needs no credential. */
  public: actors,
  /** Concerns the signed-in person alone. */
  account: ['person', ...members],
  'organisation:read': [...members, 'key:manage', 'key:read'],
  'organisation:write': administrators,
  'organisation:delete': ['owner'],
  // Keys never manage people: a leaked key must not be able to make owners.
  'members:read': ['owner', 'admin', 'developer', 'viewer'],
  'members:write': administrators,
  'projects:read': readers,
  'projects:write': administrators,
  'keys:read': readers,
  'keys:write': builders,
  'join-tokens:read': fleetKeepers,
  'join-tokens:write': fleetKeepers,
  'machines:read': [...readers, 'supplier'],
  'machines:write': fleetKeepers,
  'models:read': readers,
  'models:write': builders,
  'deployments:read': readers,
  'deployments:write': builders,
  'events:read': readers,
  'requests:read': readers,
  'usage:read': readers,
  'billing:read': ['owner', 'admin', 'supplier', 'key:manage'],
  'billing:write': ['owner'],
  'settings:read': readers,
  'settings:write': administrators,
  'status:read': [...readers, 'supplier'],
  /** The gateway's APIs, which lie outside this one. */
  'inference:use': ['owner', 'admin', 'developer', 'key:inference'],
  /** The same for people who are signed in, by a token of short life. */
  'playground:use': ['owner', 'admin', 'developer'],
  /** What machines tell and ask. */
  'worker:use': ['machine'],
  /** What gateways ask and tell, for all organisations. */
  'gateway:use': ['gateway'],
} as const satisfies Readonly<Record<string, readonly Actor[]>>

export type Permission = keyof typeof allowed

export const permissions = Object.keys(allowed) as readonly Permission[]

/** Permissions that no organisation has a say in. */
const boundToNoOrganisation: ReadonlySet<Permission> = new Set(['public', 'account', 'gateway:use'])

/** Whether the permission is about things of one organisation; then another's are out of reach for everyone. */
export const isOrganisational = (permission: Permission): boolean => !boundToNoOrganisation.has(permission)

/**
 * The whole of the rules, apart from whose resource it is within the organisation.
 *
 * @param sameOrganisation - whether what is asked for belongs to the actor's organisation
 */
export function isAllowed(actor: Actor, permission: Permission, sameOrganisation: boolean): boolean {
  if (isOrganisational(permission) && !sameOrganisation) return false
  const list: readonly Actor[] = allowed[permission]
  return list.includes(actor)
}

/** A key may do what any of its scopes allows. */
export const isKeyAllowed = (
  scopes: readonly KeyScope[],
  permission: Permission,
  sameOrganisation: boolean,
): boolean => scopes.some((scope) => isAllowed(`key:${scope}`, permission, sameOrganisation))

/** Whether `actor` may give the role to somebody, or take it away: only owners make and unmake owners. */
export const mayGrantRole = (actor: Actor, role: Role): boolean =>
  isAllowed(actor, 'members:write', true) && (role !== 'owner' || actor === 'owner')

/** Whether `actor` may create a key with the scope: none that does what the actor may not. */
export function mayGrantScope(actor: Actor, scope: KeyScope): boolean {
  if (!isAllowed(actor, 'keys:write', true)) return false
  // For inference a managing key needs a key all the same; what it spends stays within its project's budget.
  if (scope === 'inference') return true
  return permissions.every(
    (permission) => !isAllowed(`key:${scope}`, permission, true) || isAllowed(actor, permission, true),
  )
}
