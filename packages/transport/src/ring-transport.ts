import type { Transport } from './link.ts'
import type { LinkIdentity } from './link-identity.ts'
import { namesMachine } from './peer/peer-address.ts'
import type { PeerNode } from './peer/peer-node.ts'
import { TcpTransport } from './tcp-transport.ts'

/**
 * A transport that reaches the ring at this address: over the node's connections where the address names the machine,
 * else over TLS under the ring's secret alone, as rings of one owner do.
 */
export const ringTransport = (
  address: string,
  identity: LinkIdentity,
  secret: Uint8Array,
  node: PeerNode,
): Transport =>
  namesMachine(address) ? node.transport({ identity, secret }) : new TcpTransport({ identity, secret })
