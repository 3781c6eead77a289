import { type ApiClient, createApiClient, type Fetch, type ReconnectPolicy } from '@deos/api'
import { defaultRetry, type RetryPolicy, retryingFetch } from './retrying-fetch.ts'

export interface Connection {
  /** Where the control plane is: `http://127.0.0.1:7000`. Empty for pages that it serves itself. */
  readonly url: string
  /** API key or machine credential; without one a browser's cookie speaks. */
  readonly token?: string | null
  /** Which organisation a person means who is in several. */
  readonly organisation?: string | null
  readonly retry?: Partial<RetryPolicy>
  /** Of streams that break off. */
  readonly reconnect?: Partial<ReconnectPolicy>
  /** The platform's own, unless a test says otherwise. */
  readonly fetch?: Fetch
}

/**
 * A client of the whole API. Reads and calls with an idempotency key are tried again when the server was not reached,
 * is busy or restarts.
 */
export function connect({ url, fetch = globalThis.fetch, retry, ...options }: Connection): ApiClient {
  const parts = { fetch: retryingFetch((...call) => fetch(...call), { ...defaultRetry, ...retry }) }
  return createApiClient({ baseUrl: url, ...options }, parts)
}
