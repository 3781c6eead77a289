/**
 * Placement of a model over unequal devices for serving: how many tokens/s a placement carries, the best placement
 * found and a proven ceiling, and the placements of published systems. Start at {@link searchPlacement}.
 */
export { equalSplit } from './baselines/equal-split.ts'
export { type HexgenOptions, hexgenPlacement } from './baselines/hexgen.ts'
export { parallaxPlacement } from './baselines/parallax.ts'
export { type ParallaxCosts, parallaxRoute } from './baselines/parallax-route.ts'
export { petalsPlacement } from './baselines/petals.ts'
export {
  type PetalsHop,
  type PetalsRouteOptions,
  type PetalsServer,
  petalsRoute,
} from './baselines/petals-route.ts'
export { separatePipelines } from './baselines/separate-pipelines.ts'
export { swarmPlacement, swarmStages } from './baselines/swarm.ts'
export { ServingInstanceError } from './errors.ts'
export { type FlowBounds, flowBounds } from './flow/flow-bounds.ts'
export {
  checkFlowInstance,
  checkFlowPlacement,
  type FlowDevice,
  type FlowInstance,
  type FlowLink,
  type FlowPlacement,
} from './flow/flow-instance.ts'
export { flowOfPlacement, type PlacementFlow } from './flow/placement-flow.ts'
export { deeperStages } from './search/deeper-stages.ts'
export { type RefinedPlacement, type RefineOptions, refinePlacement } from './search/refine-placement.ts'
export {
  type PlacementReplanning,
  type ReplannedPlacement,
  replanPlacement,
} from './search/replan-placement.ts'
export { type FoundPlacement, type SearchOptions, searchPlacement } from './search/search-placement.ts'
