/**
 * @packageDocumentation
 * What a process needs around its work: options, logs, metrics, an orderly start and end, children, and the real clock,
 * randomness and ids. Imports `domain` only. Start at {@link readConfig} and {@link runService}.
 */
export * from './child-process.ts'
export * from './clock.ts'
export * from './command-line.ts'
export * from './common-options.ts'
export * from './config.ts'
export * from './ids.ts'
export * from './installation.ts'
export * from './json-line.ts'
export * from './lifecycle.ts'
export * from './listen-error.ts'
export * from './logging.ts'
export * from './metrics.ts'
export * from './node-flags.ts'
export * from './random.ts'
export * from './restart-budget.ts'
export * from './run-folder.ts'
export * from './tracing.ts'
