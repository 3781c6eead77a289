import type { Milliseconds, OrganisationId } from '@deos/domain'
import { FleetError } from './fleet-error.ts'
import { type Note, sentence } from './machine.ts'

/** Lets machines join an organisation for the first time. Its secret is kept nowhere. */
export interface JoinToken {
  readonly id: string
  readonly organisation: OrganisationId
  /** What the token is for, in the words of who made it. */
  readonly label: string
  /** SHA-256 of the secret, which must be random and long enough that nobody finds it from this. */
  readonly secretDigest: string
  readonly createdAtMs: Milliseconds
  readonly expiresAtMs: Milliseconds
  /** Machines that may join with it; `null` for any number. */
  readonly maxUses: number | null
  /** Machines that did. */
  readonly uses: number
  readonly revoked: Note | null
}

export type JoinTokenStatus = 'usable' | 'expired' | 'revoked' | 'used up'

export function joinTokenStatus(token: JoinToken, nowMs: Milliseconds): JoinTokenStatus {
  if (token.revoked !== null) return 'revoked'
  if (nowMs >= token.expiresAtMs) return 'expired'
  return token.maxUses !== null && token.uses >= token.maxUses ? 'used up' : 'usable'
}

/** @throws FleetError if no machine may join with it now */
export function assertUsable(token: JoinToken, nowMs: Milliseconds): void {
  switch (joinTokenStatus(token, nowMs)) {
    case 'usable':
      return
    case 'revoked':
      throw new FleetError(
        'TOKEN_REVOKED',
        `Join token ${token.id} was revoked: ${sentence(token.revoked!.reason)}`,
      )
    case 'expired': {
      const sinceS = Math.round((nowMs - token.expiresAtMs) / 1000)
      throw new FleetError('TOKEN_EXPIRED', `Join token ${token.id} expired ${sinceS} s ago.`)
    }
    case 'used up':
      throw new FleetError(
        'TOKEN_USED_UP',
        `Join token ${token.id} was for ${token.maxUses} machines, and ${token.uses} have joined with it.`,
      )
  }
}
