/**
 * @packageDocumentation
 * Plays requests through a fleet, event by event, in time of its own: throughput, latencies, use of machines and KV
 * caches. Pure: the same input gives the same result. Start at {@link simulateServing}.
 */
export { SimulationInputError } from './errors.ts'
export { EventQueue } from './events/event-queue.ts'
export * from './plans/index.ts'
export * from './ring/index.ts'
export { LayerTimes, type TimePoint } from './serving/layer-times.ts'
export type { Outage } from './serving/outages.ts'
export { ChanceRouter } from './serving/routing/chance-router.ts'
export { FlowRouter, type FlowRouterOptions, fittingLinks } from './serving/routing/flow-router.ts'
export { atSink, atSource, type RoutedRequest, type Router } from './serving/routing/router.ts'
export { SwarmRouter } from './serving/routing/swarm-router.ts'
export {
  type Batching,
  type BatchLimits,
  checkServingFleet,
  type FleetLink,
  type HandOver,
  type PassOverheads,
  type ServingFleet,
  type StageMachine,
} from './serving/serving-fleet.ts'
export { percentile, type ServingResult } from './serving/serving-result.ts'
export { type RequestTimes, type ServingRun, simulateServing } from './serving/simulate-serving.ts'
export type { ClosedWorkload, OpenWorkload, RequestLengths, Workload } from './serving/workload.ts'
