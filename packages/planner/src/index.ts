/**
 * @packageDocumentation
 * Turns a fleet snapshot and a model into a placement that explains itself. Pure: imports `domain` only. Start at
 * {@link ringPlacer}; for the placement with the largest flow over a whole fleet, at {@link searchPlacement}.
 */
export { PlacementRequestError } from './errors.ts'
export { inKvBlocks } from './kv-blocks.ts'
export * from './kv-split/index.ts'
export { ringPlacer } from './ring-placer.ts'
export * from './serving/index.ts'
