import type { Machine } from '@deos/fleet'

/** Why a machine is drained that asks for it itself; recognised when it comes back. */
const ownerStops = 'Its owner stops it.'

/** What was decided about the machine before stays in force when it comes back. */
export const ownerDrainReason = ({ cordon }: Machine): string =>
  cordon === null || isOwners(cordon.reason)
    ? ownerStops
    : `Its owner stops it; before that: ${cordon.reason}`.slice(0, 500)

/** Whether the machine is cordoned only because its owner stopped it. */
export const leftByOwner = ({ cordon }: Machine): boolean => cordon !== null && isOwners(cordon.reason)

/** As it stands while the machine drains, and as the fleet words it afterwards. */
const isOwners = (reason: string): boolean => reason === ownerStops || reason === `Drained (${ownerStops})`
