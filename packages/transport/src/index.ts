/**
 * @packageDocumentation
 * Links between peers: over TCP with TLS under the ring's pre-shared key, over connections between machines that prove
 * their keys, or in memory for simulations, all behind {@link Transport}; and the hosts that drive the protocol's state
 * machines over them. Start at {@link RingHost} for a worker, {@link RingConnection} for a gateway, {@link PeerNode} for
 * the network between machines, {@link TcpTransport} for one computer or a network of one owner.
 */
export { type Dial, type DialOptions, dialBy, dialTcp } from './dial.ts'
export { connectThrough, type HttpProxy, parseHttpProxy, proxyOption } from './http-proxy.ts'
export * from './link.ts'
export * from './link-error.ts'
export { type LinkEstimates, type LinkPath, unknownEstimates } from './link-estimates.ts'
export * from './link-identity.ts'
export { checkLinkLimits, defaultLinkLimits, type LinkLimits } from './link-limits.ts'
export {
  type MemoryConnection,
  MemoryNetwork,
  type MemoryNetworkOptions,
  type RawMemoryPeer,
} from './memory-network.ts'
export { type Priority, priorities } from './peer/chunk.ts'
export { isPublicKey, type MachineKey, machineKey, passingKey, seededKey } from './peer/machine-key.ts'
export { formatPeerAddress, namesMachine, type PeerAddress, parsePeerAddress } from './peer/peer-address.ts'
export { newCircuitName, PeerNode, type PeerNodeOptions } from './peer/peer-node.ts'
export type { PeerTransport, PeerTransportOptions } from './peer/peer-transport.ts'
export { defaultRelayLimits, Relay, type RelayLimits, type RelayOptions } from './relay/relay.ts'
export { askCircuit, type Circuit, RelaySeat, type RelaySeatOptions } from './relay/relay-client.ts'
export {
  type GenerationHandlers,
  type ImportHandlers,
  RingConnection,
  type RingConnectionCollaborators,
  type RingConnectionOptions,
} from './ring-connection.ts'
export {
  defaultHostTiming,
  type HandoverEdge,
  type HandoverLink,
  RingHost,
  type RingHostCollaborators,
  type RingHostOptions,
} from './ring-host.ts'
export { guestKey, pskTls } from './ring-secret.ts'
export { type RingNetwork, ringNetwork, ringTransport } from './ring-transport.ts'
export {
  SupervisedLink,
  type SupervisedLinkHandlers,
  type SupervisedLinkOptions,
} from './supervised-link.ts'
export { formatTcpAddress, isLoopback, parseTcpAddress, type TcpAddress } from './tcp-address.ts'
export { TcpTransport, type TcpTransportOptions } from './tcp-transport.ts'
export { every, systemTimers, type Timers } from './timers.ts'
