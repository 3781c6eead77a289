/**
 * @packageDocumentation
 * What a process needs around its work: options, logs, metrics, an orderly start and end, and the real clock,
 * randomness and ids. Imports `domain` only. Start at {@link readConfig} and {@link runService}.
 */
export * from './clock.ts'
export * from './config.ts'
export * from './ids.ts'
export * from './lifecycle.ts'
export * from './logging.ts'
export * from './metrics.ts'
export * from './random.ts'
