import {
  type Actor,
  isAllowed,
  isKeyAllowed,
  isOrganisational,
  type KeyId,
  type KeyScope,
  organisationHeader,
  ProblemError,
  type Role,
  type Route,
  type UserId,
  ValidationError,
} from '@deos/api'
import type { MachineId, OrganisationId } from '@deos/domain'
import type { EventCause } from '../database/schema/index.ts'
import { type Headers, isSafeMethod, siteOf } from './request-origin.ts'
import { digestOf, isSameSecret, secretPrefixes } from './secrets.ts'

/** A person with a valid session. */
export interface SignedIn {
  readonly userId: UserId
  /** `set-cookie` headers that prolong the session; mostly none. */
  readonly cookies: readonly string[]
}

export interface KnownKey {
  readonly keyId: KeyId
  readonly organisation: OrganisationId
  readonly scopes: readonly KeyScope[]
}

export interface KnownMachine {
  readonly machine: MachineId
  readonly organisation: OrganisationId
  readonly incarnation: number
}

/** Where credentials are looked up. Null is always: unknown, expired or revoked. */
export interface CredentialSources {
  /** @param cookie - the header as it came */
  readonly sessionOf: (cookie: string) => Promise<SignedIn | null>
  readonly membershipsOf: (user: UserId) => Promise<readonly { organisation: OrganisationId; role: Role }[]>
  readonly keyOf: (digest: string) => Promise<KnownKey | null>
  readonly machineOf: (digest: string) => Promise<KnownMachine | null>
  /** One for the installation; null where no gateway may call. */
  readonly gatewayToken: string | null
}

/** What a request shows of who sends it. */
export interface PresentedRequest {
  readonly method: string
  readonly headers: Headers
  readonly params: Readonly<Record<string, string | undefined>>
  /** Origins under which browsers know this server. */
  readonly ownOrigins: readonly string[]
}

/** Who asks, as far as a credential says it. */
export interface Standing {
  readonly actor: Actor
  readonly organisation: OrganisationId | null
  readonly userId: UserId | null
  readonly keyId: KeyId | null
  readonly machine: { readonly id: MachineId; readonly incarnation: number } | null
  readonly cause: EventCause
  readonly cookies: readonly string[]
}

const nobody: Standing = {
  actor: 'anonymous',
  organisation: null,
  userId: null,
  keyId: null,
  machine: null,
  cause: { kind: 'system' },
  cookies: [],
}

type Proof =
  | { readonly kind: 'nobody' }
  | { readonly kind: 'person'; readonly signedIn: SignedIn }
  | { readonly kind: 'key'; readonly key: KnownKey }
  | { readonly kind: 'machine'; readonly machine: KnownMachine }
  | { readonly kind: 'gateway' }

const scopesByStrength: readonly KeyScope[] = ['manage', 'read', 'inference']
const maxSecretLength = 512

const header = (headers: Headers, name: string): string | null => {
  const value = headers[name]
  return typeof value === 'string' && value !== '' ? value : null
}

function unauthenticated(detail: string): ProblemError {
  return new ProblemError('unauthenticated', detail, {
    hint: 'Sign in, or send "authorization: Bearer" with a valid API key.',
  })
}

/** Says the same whether the organisation exists or not. */
function notTheirs(inPath: boolean): ProblemError {
  return inPath
    ? new ProblemError('not-found', 'There is no such organisation, or it is not yours.')
    : new ProblemError('forbidden', 'There is no such organisation, or it is not yours.', {
        hint: `Leave the header ${organisationHeader} out, or name an organisation of yours.`,
      })
}

function notPermitted(actor: Actor): ProblemError {
  if (actor === 'person') {
    return new ProblemError('forbidden', 'You are a member of no organisation that this could concern.', {
      hint: 'Found one, or ask somebody to invite you.',
    })
  }
  const who = actor.startsWith('key:') ? `A key with the scope ${actor.slice(4)}` : `The role ${actor}`
  return new ProblemError('forbidden', `${who} is not permitted to do this.`, {
    hint: 'Ask an administrator of the organisation.',
  })
}

/**
 * Turns what a request presents into who asks, and refuses who may not call the route.
 *
 * Against pages of other sites that make a browser call us with its cookies: cookies are `SameSite=Lax` and count on
 * methods that change something only if the browser says that a page of this very origin asks. No answer has CORS
 * headers, and bodies must be of a type for which browsers would ask first.
 */
export class Credentials {
  readonly #sources: CredentialSources

  constructor(sources: CredentialSources) {
    this.#sources = sources
  }

  /**
   * @throws ProblemError if nobody known asks, or somebody who may not
   * @throws ValidationError if a person has several organisations and named none
   */
  async check(request: PresentedRequest, route: Route): Promise<Standing> {
    refuseOtherSites(request)
    const proof = await this.#proof(request, route.permission === 'public')
    const standing = await this.#standing(proof, request, route)
    if (isAllowed(standing.actor, route.permission, true)) return standing
    if (standing.actor === 'anonymous') throw unauthenticated('This needs a credential, and none was sent.')
    throw notPermitted(standing.actor)
  }

  /** @param lenient - whether a credential that is no longer valid is nobody's instead of an error */
  async #proof(request: PresentedRequest, lenient: boolean): Promise<Proof> {
    const authorization = header(request.headers, 'authorization')
    if (authorization !== null) {
      const proof = await this.#bearer(authorization)
      if (proof !== null) return proof
      if (lenient) return { kind: 'nobody' }
      throw unauthenticated('The credential is unknown, expired or revoked.')
    }
    const cookie = header(request.headers, 'cookie')
    if (cookie === null || !cookiesCount(request)) return { kind: 'nobody' }
    const signedIn = await this.#sources.sessionOf(cookie)
    return signedIn === null ? { kind: 'nobody' } : { kind: 'person', signedIn }
  }

  async #bearer(authorization: string): Promise<Proof | null> {
    const secret = /^bearer +(\S+) *$/i.exec(authorization)?.[1] ?? ''
    if (secret === '' || secret.length > maxSecretLength) return null
    if (secret.startsWith(secretPrefixes.apiKey)) {
      const key = await this.#sources.keyOf(digestOf(secret))
      return key && { kind: 'key', key }
    }
    if (secret.startsWith(secretPrefixes.machine)) {
      const machine = await this.#sources.machineOf(digestOf(secret))
      return machine && { kind: 'machine', machine }
    }
    const { gatewayToken } = this.#sources
    const isGateway = gatewayToken !== null && isSameSecret(secret, gatewayToken)
    return isGateway ? { kind: 'gateway' } : null
  }

  async #standing(proof: Proof, request: PresentedRequest, route: Route): Promise<Standing> {
    switch (proof.kind) {
      case 'nobody':
        return nobody
      case 'gateway':
        return { ...nobody, actor: 'gateway' }
      case 'machine':
        return machineStanding(proof.machine, request, route)
      case 'key':
        return keyStanding(proof.key, request, route)
      case 'person':
        return this.#personStanding(proof.signedIn, request, route)
    }
  }

  async #personStanding({ userId, cookies }: SignedIn, request: PresentedRequest, route: Route) {
    const person = { ...nobody, userId, cookies, cause: { kind: 'user', id: userId } } as const
    if (!isOrganisational(route.permission)) return { ...person, actor: 'person' } as const
    const wanted = wantedOrganisation(request, route)
    const memberships = await this.#sources.membershipsOf(userId)
    if (wanted === null && memberships.length > 1) throw severalOrganisations(memberships.length)
    const chosen = memberships.find(({ organisation }) => wanted === null || organisation === wanted.id)
    if (chosen !== undefined) return { ...person, actor: chosen.role, organisation: chosen.organisation }
    if (wanted !== null) throw notTheirs(wanted.inPath)
    return { ...person, actor: 'person' } as const
  }
}

/** Pages of other sites have no business here, whatever credential their browser holds. */
function refuseOtherSites(request: PresentedRequest): void {
  if (isSafeMethod(request.method) || header(request.headers, 'authorization') !== null) return
  if (siteOf(request.headers, request.ownOrigins) !== 'other') return
  throw new ProblemError('forbidden', 'The page that sent this belongs to another site.', {
    code: 'CROSS_SITE',
    hint: 'Open the console under its own address; programs send an API key instead of cookies.',
  })
}

const cookiesCount = ({ method, headers, ownOrigins }: PresentedRequest): boolean =>
  isSafeMethod(method) || siteOf(headers, ownOrigins) === 'same'

interface WantedOrganisation {
  readonly id: string
  readonly inPath: boolean
}

/** An organisation in the path is meant, whatever the header says. */
function wantedOrganisation(request: PresentedRequest, route: Route): WantedOrganisation | null {
  if ('organisation' in route.params) return { id: request.params.organisation ?? '', inPath: true }
  const id = header(request.headers, organisationHeader)
  return id === null ? null : { id, inPath: false }
}

function severalOrganisations(count: number): ValidationError {
  return new ValidationError([
    {
      in: 'header',
      field: organisationHeader,
      message: `is required, because you are a member of ${count} organisations`,
    },
  ])
}

/** Credentials of programs and machines belong to one organisation; naming another one reaches nothing. */
function checkOwn(organisation: OrganisationId, request: PresentedRequest, route: Route): void {
  if (!isOrganisational(route.permission)) return
  const wanted = wantedOrganisation(request, route)
  if (wanted !== null && wanted.id !== organisation) throw notTheirs(wanted.inPath)
}

function keyStanding(key: KnownKey, request: PresentedRequest, route: Route): Standing {
  checkOwn(key.organisation, request, route)
  const scopes = scopesByStrength.filter((scope) => key.scopes.includes(scope))
  const strongest = scopes.find((scope) => isKeyAllowed([scope], route.permission, true)) ?? scopes[0]
  if (strongest === undefined) throw unauthenticated('The key has no scopes.')
  return {
    ...nobody,
    actor: `key:${strongest}`,
    organisation: isOrganisational(route.permission) ? key.organisation : null,
    keyId: key.keyId,
    cause: { kind: 'key', id: key.keyId },
  }
}

function machineStanding(known: KnownMachine, request: PresentedRequest, route: Route): Standing {
  checkOwn(known.organisation, request, route)
  return {
    ...nobody,
    actor: 'machine',
    organisation: isOrganisational(route.permission) ? known.organisation : null,
    machine: { id: known.machine, incarnation: known.incarnation },
    cause: { kind: 'machine', id: known.machine },
  }
}
