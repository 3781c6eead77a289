/**
 * @packageDocumentation
 * The typed client of the control plane for programs: {@link connect} gives a function for every route of the API, and
 * tries calls again that may be. Runs in Node and in browsers.
 */
export * from '@deos/api'
export { type Connection, connect } from './connect.ts'
export { defaultRetry, type RetryPolicy, retryingFetch } from './retrying-fetch.ts'
