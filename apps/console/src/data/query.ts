import type { ApiClient } from '@deos/sdk'
import {
  keepPreviousData,
  type QueryKey,
  type UseQueryResult,
  useInfiniteQuery,
  useQuery,
  useQueryClient,
} from '@tanstack/react-query'
import { useCallback } from 'react'
import { useSession } from './session.tsx'

interface Options {
  /** False while what is asked for is not known yet, or not permitted. */
  readonly enabled?: boolean
  readonly refetchMs?: number
}

/** Everything of an organisation lies below its id, so that switching never shows another's. */
const useScope = (): string => useSession().organisation?.id ?? 'none'

/** What a route answers, kept under `key`. */
export function useData<T>(
  key: QueryKey,
  ask: (client: ApiClient, signal: AbortSignal) => Promise<T>,
  { enabled = true, refetchMs }: Options = {},
): UseQueryResult<T> {
  const { client } = useSession()
  return useQuery({
    queryKey: [useScope(), ...key],
    queryFn: ({ signal }) => ask(client, signal),
    enabled,
    placeholderData: keepPreviousData as never,
    ...(refetchMs !== undefined && { refetchInterval: refetchMs }),
  }) as UseQueryResult<T>
}

/** A paginated list, as far as it has been asked for. */
export interface List<T> {
  readonly items: readonly T[]
  readonly isPending: boolean
  readonly error: unknown
  readonly refetch: () => void
  /** Null at the end. */
  readonly more: (() => void) | null
  readonly isLoadingMore: boolean
}

interface PageCall {
  readonly cursor?: string
  readonly limit: number
}

interface PageOf<T> {
  readonly items: readonly T[]
  readonly nextCursor: string | null
}

/** A list under `key`; `limit` items a page. */
export function useList<T>(
  key: QueryKey,
  ask: (client: ApiClient, page: PageCall, signal: AbortSignal) => Promise<PageOf<T>>,
  { enabled = true, refetchMs, limit = 200 }: Options & { readonly limit?: number } = {},
): List<T> {
  const { client } = useSession()
  const query = useInfiniteQuery({
    queryKey: [useScope(), ...key, 'pages'],
    queryFn: ({ pageParam, signal }) =>
      ask(client, { ...(pageParam !== null && { cursor: pageParam }), limit }, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.nextCursor,
    enabled,
    placeholderData: keepPreviousData,
    ...(refetchMs !== undefined && { refetchInterval: refetchMs }),
  })
  return {
    items: query.data?.pages.flatMap(({ items }) => items) ?? [],
    isPending: query.isPending && enabled,
    error: query.error,
    refetch: () => void query.refetch(),
    more: query.hasNextPage ? () => void query.fetchNextPage() : null,
    isLoadingMore: query.isFetchingNextPage,
  }
}

/** Asks again for all that is kept under the keys. */
export function useRefresh(): (...keys: readonly string[]) => Promise<void> {
  const queries = useQueryClient()
  const scope = useScope()
  return useCallback(
    async (...keys) => {
      await Promise.all(keys.map((key) => queries.invalidateQueries({ queryKey: [scope, key] })))
    },
    [queries, scope],
  )
}
