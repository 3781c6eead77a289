/**
 * @packageDocumentation
 * The words every part shares: units, ids, errors, layers, model shapes, KV pages, sampling.
 * Pure: imports nothing.
 */
export * from './activation-coding.ts'
export * from './errors.ts'
export * from './fleet.ts'
export * from './ids.ts'
export * from './kv-layout.ts'
export * from './layers.ts'
export * from './model.ts'
export * from './nondeterminism.ts'
export * from './page-pool.ts'
export * from './placement.ts'
export * from './sampling.ts'
export * from './units.ts'
