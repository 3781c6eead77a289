/**
 * @packageDocumentation
 * The suite that every transport passes and a virtual clock. The suite needs Vitest, so import this from tests.
 */
export { describeTransport, type RawPeer, type TransportFixture } from './describe-transport.ts'
export { VirtualTimers } from './virtual-timers.ts'
