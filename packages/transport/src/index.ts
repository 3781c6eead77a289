/**
 * @packageDocumentation
 * Links between peers: over TCP with TLS under the ring's pre-shared key, or in memory for simulations, both behind
 * {@link Transport}; and the hosts that drive the protocol's state machines over them. Start at {@link RingHost} for
 * a worker, {@link RingConnection} for a gateway, {@link TcpTransport} for the network.
 */
export { connectThrough, type HttpProxy, parseHttpProxy, proxyOption } from './http-proxy.ts'
export * from './link.ts'
export * from './link-error.ts'
export * from './link-identity.ts'
export { checkLinkLimits, defaultLinkLimits, type LinkLimits } from './link-limits.ts'
export {
  type MemoryConnection,
  MemoryNetwork,
  type MemoryNetworkOptions,
  type RawMemoryPeer,
} from './memory-network.ts'
export {
  type GenerationHandlers,
  RingConnection,
  type RingConnectionCollaborators,
  type RingConnectionOptions,
} from './ring-connection.ts'
export {
  defaultHostTiming,
  RingHost,
  type RingHostCollaborators,
  type RingHostOptions,
} from './ring-host.ts'
export { pskTls } from './ring-secret.ts'
export {
  SupervisedLink,
  type SupervisedLinkHandlers,
  type SupervisedLinkOptions,
} from './supervised-link.ts'
export { formatTcpAddress, isLoopback, parseTcpAddress, type TcpAddress } from './tcp-address.ts'
export { TcpTransport, type TcpTransportOptions } from './tcp-transport.ts'
export { every, systemTimers, type Timers } from './timers.ts'
