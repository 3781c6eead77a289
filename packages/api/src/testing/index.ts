/**
 * @packageDocumentation
 * The API without a server: samples of every schema, and a `fetch` that answers with them.
 */
export * from './mock-api.ts'
export * from './sample.ts'
