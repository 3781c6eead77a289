/**
 * @packageDocumentation
 * What peers say to each other and how they decide: messages and their bytes on the wire, and the state machines of
 * a ring of stages (leader, stage, gateway side). Pure: time arrives inside events, output is a list of effects.
 * Start at {@link RingNode} for a worker, {@link RingClient} for a gateway, {@link FrameDecoder} for a transport.
 */
export * from './kv/blocks/index.ts'
export * from './kv/transfer/index.ts'
export * from './messages.ts'
export { longestSession } from './ring/admission.ts'
export { type Evictable, EvictionOrder } from './ring/memory/eviction-order.ts'
export {
  defaultClientOptions,
  RingClient,
  type RingClientOptions,
} from './ring/ring-client.ts'
export type * from './ring/ring-client-events.ts'
export type * from './ring/ring-events.ts'
export type { LeaderCounters, LeaderSnapshot } from './ring/ring-leader.ts'
export { RingNode, type RingSnapshot } from './ring/ring-node.ts'
export { checkLeaderOptions, defaultLeaderOptions, type RingLeaderOptions } from './ring/ring-options.ts'
export { mostStepsInFlight } from './ring/scheduling/steps-in-flight.ts'
export { addTimes, computeUs } from './ring/stage-times.ts'
export * from './stage-engine.ts'
export { assertDecodable } from './wire/assert-decodable.ts'
export { encodeMessage } from './wire/encode-message.ts'
export { FrameDecoder } from './wire/frame-decoder.ts'
export { FRAME_MAGIC, HEADER_BYTES } from './wire/frame-header.ts'
export { WireError, type WireErrorCode } from './wire/wire-error.ts'
export { defaultWireLimits, helloWireLimits, type WireLimits } from './wire/wire-limits.ts'
