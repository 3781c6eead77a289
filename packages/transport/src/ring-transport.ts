import { dialBy } from './dial.ts'
import type { HttpProxy } from './http-proxy.ts'
import type { Transport } from './link.ts'
import type { LinkIdentity } from './link-identity.ts'
import { passingKey } from './peer/machine-key.ts'
import { namesMachine } from './peer/peer-address.ts'
import { PeerNode } from './peer/peer-node.ts'
import { TcpTransport } from './tcp-transport.ts'

/** What one process reaches all its rings over. */
export interface RingNetwork {
  readonly node: PeerNode
  readonly proxy: HttpProxy | null
}

/** For who needs no lasting name; what it may is proved by rings' secrets. @param proxy - through which everything is dialled */
export const ringNetwork = (proxy: HttpProxy | null): RingNetwork => ({
  node: new PeerNode({ key: passingKey(), dial: dialBy(proxy), punches: proxy === null }),
  proxy,
})

/**
 * A transport that reaches the ring at this address: over the node's connections where the address names the machine,
 * else over TLS under the ring's secret alone, as rings of one owner do.
 */
export const ringTransport = (
  address: string,
  identity: LinkIdentity,
  secret: Uint8Array,
  { node, proxy }: RingNetwork,
): Transport =>
  namesMachine(address) ? node.transport({ identity, secret }) : new TcpTransport({ identity, secret, proxy })
