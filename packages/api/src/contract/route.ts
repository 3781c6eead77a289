import type { z } from 'zod'
import type { Permission } from '../permissions.ts'
import type { ProblemName } from '../problem-types.ts'
import type { Answer } from './answer.ts'
import { type PathParameter, parametersOf } from './path.ts'

/** Where every path of the API begins. */
export const apiPrefix = '/api/v1'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export type ParameterSchemas = Readonly<Record<string, z.ZodType<string, string>>>
type NoParameters = Readonly<Record<never, never>>

/** Fields of the query string; each may be left out, so that every list can be asked for plainly. */
export type QuerySchema = z.ZodObject

/** What an endpoint takes and gives; everything else about the API is made from a table of these. */
export interface Route<
  Path extends string = string,
  Params extends ParameterSchemas = ParameterSchemas,
  Query extends QuerySchema | null = QuerySchema | null,
  Body extends z.ZodType | null = z.ZodType | null,
  A extends Answer = Answer,
> {
  readonly method: Method
  /** Below {@link apiPrefix}; parameters in braces. */
  readonly path: Path
  readonly params: Params
  readonly query: Query
  readonly body: Body
  readonly answer: A
  readonly permission: Permission
  /** Problems beside those that every route of its kind has; see {@link problemsOf}. */
  readonly errors: readonly ProblemName[]
  /** Whether `idempotency-key` makes a repeated call answer as the first one did. */
  readonly idempotencyKey: boolean
  readonly summary: string
  readonly description: string
}

/** Routes by resource and action: `table.machines.list`. */
export type RouteTable = Readonly<Record<string, Readonly<Record<string, Route>>>>

interface RouteSpec<
  Path extends string,
  Params extends ParameterSchemas,
  Query extends QuerySchema | null,
  Body extends z.ZodType | null,
  A extends Answer,
> {
  readonly method: Method
  readonly path: Path
  readonly params?: Params
  readonly query?: Query
  readonly body?: Body
  readonly answer: A
  readonly permission: Permission
  readonly errors?: readonly ProblemName[]
  readonly idempotencyKey?: boolean
  readonly summary: string
  readonly description?: string
}

/** A path with parameters needs a schema for each. */
type NeededParameters<Path extends string> = [PathParameter<Path>] extends [never]
  ? { readonly params?: NoParameters }
  : { readonly params: Readonly<Record<PathParameter<Path>, z.ZodType<string, string>>> }

export function defineRoute<
  const Path extends string,
  A extends Answer,
  Params extends ParameterSchemas = NoParameters,
  Query extends QuerySchema | null = null,
  Body extends z.ZodType | null = null,
>(
  spec: RouteSpec<Path, Params, Query, Body, A> & NeededParameters<Path>,
): Route<Path, Params, Query, Body, A> {
  const { params, query, body, errors, idempotencyKey, description, ...rest } = spec
  const named = [...parametersOf(spec.path)].sort().join()
  const given = Object.keys(params ?? {})
    .sort()
    .join()
  if (named !== given) throw new Error(`${spec.path} has parameters ${named}, but schemas for ${given}.`)
  return {
    ...rest,
    // Absent parts are null for good: the defaults of the type parameters say the same.
    params: (params ?? {}) as Params,
    query: (query ?? null) as Query,
    body: (body ?? null) as Body,
    errors: errors ?? [],
    idempotencyKey: idempotencyKey ?? false,
    description: description ?? '',
  }
}

/** Everything a route may answer instead of what was asked for. */
export function problemsOf(route: Route): readonly ProblemName[] {
  const names = new Set<ProblemName>(['internal', 'rate-limited', 'unavailable', ...route.errors])
  if (Object.keys(route.params).length > 0) names.add('not-found')
  if (route.permission !== 'public') names.add('unauthenticated').add('forbidden')
  if (route.body !== null) names.add('malformed').add('too-large').add('unsupported-media-type')
  if (route.body !== null || route.query !== null || Object.keys(route.params).length > 0) {
    names.add('validation')
  }
  if (route.answer.kind === 'bytes') names.add('range-not-satisfiable')
  if (route.idempotencyKey) names.add('idempotency-in-progress').add('idempotency-mismatch')
  return [...names].sort()
}
