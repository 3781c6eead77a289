import type { ProblemMapping } from '@deos/api'
import type { FleetErrorCode } from '@deos/fleet'

/**
 * How refusals of the fleet are told. Programs look at the code: after `MACHINE_REJOIN` and `JOIN_STALE` a process asks
 * for a new challenge and joins again, after `MACHINE_FENCED` it stops for good.
 */
export const machineProblems = {
  FLEET_INVALID: 'validation',
  TOKEN_MISSING: 'unauthenticated',
  TOKEN_UNKNOWN: 'unauthenticated',
  TOKEN_EXPIRED: 'gone',
  TOKEN_REVOKED: 'gone',
  TOKEN_USED_UP: 'gone',
  MACHINE_UNKNOWN: 'not-found',
  MACHINE_REMOVED: 'gone',
  MACHINE_OFFLINE: 'conflict',
  MACHINE_FENCED: 'stale-incarnation',
  MACHINE_REJOIN: 'conflict',
  MACHINE_VERSION: 'version-unsupported',
  MACHINE_ORGANISATION: 'forbidden',
  MACHINE_IN_USE: 'conflict',
  MACHINE_NOT_READY: 'conflict',
  JOIN_STALE: 'conflict',
} as const satisfies ProblemMapping & Record<FleetErrorCode, unknown>
