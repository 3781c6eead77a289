import type { Actor, KeyId, UserId } from '@deos/api'
import type { MachineId, OrganisationId } from '@deos/domain'
import type { Logger } from '@deos/service'
import type { EventCause } from '../database/schema/index.ts'

/** Who asks, as their credential says. Routes were checked against {@link Actor} before a handler runs. */
export interface Caller {
  readonly actor: Actor
  /** Whose things are asked for; null where the route concerns no organisation. */
  readonly organisation: OrganisationId | null
  readonly userId: UserId | null
  readonly keyId: KeyId | null
  readonly machine: { readonly id: MachineId; readonly incarnation: number } | null
  readonly cause: EventCause
  readonly requestId: string
  /** For limits only; as the proxies in front, if trusted, say. */
  readonly address: string
  /** Headers of the request, names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** Aborts when the caller is gone. */
  readonly signal: AbortSignal
  readonly logger: Logger
  /** Adds a header to the answer; `set-cookie` may come several times. */
  addHeader(name: string, value: string): void
}

/** @throws Error if the route concerns no organisation: a bug */
export function organisationOf({ organisation }: Caller): OrganisationId {
  if (organisation === null) throw new Error('The caller acts for no organisation.')
  return organisation
}
