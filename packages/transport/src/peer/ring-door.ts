import { GUEST_PREFIX } from '../ring-secret.ts'

/** Where a link is opened: a ring, and who comes as its guest. */
export interface RingDoor {
  readonly ring: string
  /** Name of a worker of another ring; `null` for members and gateways. */
  readonly guest: string | null
}

/** As the first word on a channel names it: the ring, or a guest's name and the ring. Peer ids hold no blanks. */
export const formatDoor = ({ ring, guest }: RingDoor): string =>
  guest === null ? ring : `${GUEST_PREFIX}${guest} ${ring}`

export function parseDoor(text: string): RingDoor {
  const blank = text.indexOf(' ')
  if (!text.startsWith(GUEST_PREFIX) || blank < 0) return { ring: text, guest: null }
  return { ring: text.slice(blank + 1), guest: text.slice(GUEST_PREFIX.length, blank) }
}
