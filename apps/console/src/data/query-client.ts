import { ApiError } from '@deos/sdk'
import { QueryCache, QueryClient } from '@tanstack/react-query'
import { isSignedOut } from './session.tsx'

/** The SDK tries safe calls again by itself; here they count as failed at once. */
export function createQueryClient(): QueryClient {
  const client: QueryClient = new QueryClient({
    queryCache: new QueryCache({
      // The session ended meanwhile: whoever shows it will ask to sign in again.
      onError: (error, { queryKey }) => {
        if (queryKey[0] === 'session' || !isSignedOut(error)) return
        void client.invalidateQueries({ queryKey: ['session'] })
      },
    }),
    defaultOptions: {
      queries: {
        retry: false,
        staleTime: 5_000,
        refetchOnWindowFocus: true,
        // What is gone will not come back by asking.
        throwOnError: (error) => !(error instanceof ApiError),
      },
      mutations: { retry: false },
    },
  })
  return client
}
