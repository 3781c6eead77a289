/**
 * @packageDocumentation
 * Turns a fleet snapshot and a model into a placement that explains itself, for serving now ({@link ringPlacer}), with the
 * largest flow over a whole fleet ({@link searchPlacement}) and for training ({@link planTraining}); and says what layers
 * cost on which device ({@link operatorGraph}, {@link layerTime}). Pure: imports `domain` only.
 */
export * from './devices/index.ts'
export { PlacementRequestError } from './errors.ts'
export { inKvBlocks } from './kv-blocks.ts'
export * from './kv-split/index.ts'
export * from './models/index.ts'
export * from './plans/index.ts'
export { ringPlacer } from './ring-placer.ts'
export * from './serving/index.ts'
export * from './training/index.ts'
