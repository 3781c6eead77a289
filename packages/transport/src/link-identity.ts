import type { RingId } from '@deos/domain'
import { type Hello, type PeerRole, PROTOCOL_VERSION } from '@deos/protocol'
import { LinkError } from './link-error.ts'
import { GUEST_PREFIX } from './ring-secret.ts'

/** Who this side is, told to every peer in the first message. */
export interface LinkIdentity {
  readonly role: PeerRole
  /** Printable ASCII without blanks, at most 128 characters. */
  readonly peer: string
  readonly ring: RingId
  readonly version: number
}

/** @throws RangeError if the peer id cannot travel in a TLS handshake */
export function linkIdentity(role: PeerRole, peer: string, ring: RingId): LinkIdentity {
  if (!/^[\x21-\x7e]{1,128}$/.test(peer) || peer.startsWith(GUEST_PREFIX)) {
    throw new RangeError(
      `Peer id ${JSON.stringify(peer)} must be 1 to 128 printable ASCII characters without blanks.`,
    )
  }
  return { role, peer, ring, version: PROTOCOL_VERSION }
}

export const helloOf = (identity: LinkIdentity): Hello => ({ type: 'hello', ...identity })

/** Why a link with this peer makes no sense; `null` if it does. */
export function findHelloProblem(own: LinkIdentity, hello: Hello): LinkError | null {
  if (hello.version !== own.version) {
    return new LinkError(
      'LINK_VERSION',
      `${hello.peer} speaks protocol version ${hello.version}, this side speaks ${own.version}.`,
    )
  }
  if (hello.ring !== own.ring) {
    return new LinkError(
      'LINK_RING',
      `${hello.peer} belongs to ring ${hello.ring}, this side to ring ${own.ring}.`,
    )
  }
  return null
}
