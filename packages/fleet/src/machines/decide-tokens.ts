import { checkDigest, checkInteger, checkOptionalText, checkReason, checkText } from './field-checks.ts'
import type { CreateJoinToken, FleetContext, RevokeJoinToken } from './fleet-commands.ts'
import { FleetError, invalidField } from './fleet-error.ts'
import type { FleetEvent } from './fleet-events.ts'
import type { FleetState } from './fleet-state.ts'

const MAX_USES = 1_000_000

export function createJoinToken(
  state: FleetState,
  command: CreateJoinToken,
  { nowMs, ids }: FleetContext,
): readonly FleetEvent[] {
  const { organisation, expiresAtMs, maxUses } = command
  if (!(Number.isFinite(expiresAtMs) && expiresAtMs > nowMs)) {
    throw invalidField('expiresAtMs', expiresAtMs, `later than now, ${nowMs}`)
  }
  const token = ids.next('join-token')
  if (state.tokens.has(token)) throw new Error(`The source of ids gave ${token} twice.`)
  return [
    {
      type: 'joinTokenCreated',
      atMs: nowMs,
      token,
      organisation,
      label: checkOptionalText('label', command.label, 100),
      secretDigest: checkDigest('secretDigest', command.secretDigest),
      expiresAtMs,
      maxUses: maxUses === null ? null : checkInteger('maxUses', maxUses, 1, MAX_USES),
    },
  ]
}

export function revokeJoinToken(
  state: FleetState,
  command: RevokeJoinToken,
  { nowMs }: FleetContext,
): readonly FleetEvent[] {
  const token = state.tokens.get(command.token)
  if (token === undefined) {
    checkText('token', command.token, 200)
    throw new FleetError('TOKEN_UNKNOWN', `There is no join token ${command.token}.`)
  }
  const reason = checkReason(command.reason)
  if (token.revoked !== null) return []
  return [{ type: 'joinTokenRevoked', atMs: nowMs, token: token.id, reason }]
}
