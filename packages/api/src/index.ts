/**
 * @packageDocumentation
 * The HTTP API of the control plane under `/api/v1`, defined once: server, typed client, OpenAPI document and mocks are
 * made from {@link routes}. It knows no framework and no database; whoever serves it binds {@link readRequest} and
 * {@link writeAnswer} to routes, and {@link isAllowed} to credentials. Start at `routes/index.ts`.
 */

import type { ClientOptions, ClientParts } from './client/client.ts'
import { createClient } from './client/client.ts'
import { openApiDocument } from './openapi.ts'
import { groupDescriptions, type Routes, routes } from './routes/index.ts'

export * from './client/api-error.ts'
export {
  type Client,
  type ClientOptions,
  type ClientParts,
  createClient,
  eachItem,
  type Fetch,
} from './client/client.ts'
export { defaultReconnect, type ReconnectPolicy, type Sleep } from './client/event-reader.ts'
export * from './contract/answer.ts'
export * from './contract/every-route.ts'
export * from './contract/headers.ts'
export * from './contract/path.ts'
export * from './contract/route.ts'
export * from './contract/route-types.ts'
export { type DocumentFacts, type Json, openApiDocument } from './openapi.ts'
export * from './pagination.ts'
export * from './permissions.ts'
export * from './problem.ts'
export * from './problem-types.ts'
export * from './routes/index.ts'
export * from './schemas/index.ts'
export * from './server.ts'
export * from './validation.ts'

/** A client of the whole API. */
export const createApiClient = (options: ClientOptions, parts: ClientParts) =>
  createClient<Routes>(routes, options, parts)
export type ApiClient = ReturnType<typeof createApiClient>

/** The document of the whole API. */
export const apiDocument = (version: string) =>
  openApiDocument(routes, {
    title: 'DeOS',
    version,
    description: 'The control plane of DeOS: machines, models, deployments, keys, usage and events.',
    groups: groupDescriptions,
  })
