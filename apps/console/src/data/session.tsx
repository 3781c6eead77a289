import {
  type ApiClient,
  ApiError,
  connect,
  isAllowed,
  type Organisation,
  type Permission,
  type Role,
} from '@deos/sdk'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { createContext, type ReactNode, useCallback, useContext, useMemo, useState } from 'react'
import type { Session } from './types.ts'

const organisationKey = 'deos.organisation'

/** For what concerns no organisation: signing in, the version. */
export const openClient: ApiClient = connect({ url: '' })

/** Who is signed in, as which member, and the client that speaks for them. */
export interface SessionState {
  readonly session: Session | null
  readonly error: unknown
  readonly client: ApiClient
  readonly organisation: Organisation | null
  readonly role: Role | null
  may(permission: Permission): boolean
  chooseOrganisation(id: string): void
  /** After signing in or out, or when memberships changed. */
  renew(session: Session | null): Promise<void>
  retry(): void
}

const SessionContext = createContext<SessionState | null>(null)

export function SessionProvider({ children }: { readonly children: ReactNode }) {
  const queries = useQueryClient()
  const [chosen, choose] = useState(() => localStorage.getItem(organisationKey))
  const { data, error, refetch } = useQuery({
    queryKey: ['session'],
    queryFn: ({ signal }) => openClient.session.show({ signal }),
    staleTime: 60_000,
  })
  const membership =
    data?.memberships.find(({ organisation }) => organisation.id === chosen) ?? data?.memberships[0] ?? null
  const organisationId = membership?.organisation.id ?? null
  const client = useMemo(() => connect({ url: '', organisation: organisationId }), [organisationId])

  const chooseOrganisation = useCallback((id: string) => {
    localStorage.setItem(organisationKey, id)
    choose(id)
  }, [])

  const renew = useCallback(
    async (session: Session | null) => {
      queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'session' })
      if (session === null) await queries.refetchQueries({ queryKey: ['session'] })
      else queries.setQueryData(['session'], session)
    },
    [queries],
  )

  const role = membership?.role ?? null
  const state: SessionState = useMemo(
    () => ({
      session: data ?? null,
      error,
      client,
      organisation: membership?.organisation ?? null,
      role,
      may: (permission) =>
        isAllowed(role ?? (data?.user ? 'person' : 'anonymous'), permission, role !== null),
      chooseOrganisation,
      renew,
      retry: () => void refetch(),
    }),
    [data, error, client, membership, role, chooseOrganisation, renew, refetch],
  )
  return <SessionContext value={state}>{children}</SessionContext>
}

export function useSession(): SessionState {
  const state = useContext(SessionContext)
  if (state === null) throw new Error('There is no session around this component.')
  return state
}

export const useClient = (): ApiClient => useSession().client
export const useMay = (permission: Permission): boolean => useSession().may(permission)

export const isSignedOut = (error: unknown): boolean =>
  error instanceof ApiError && error.problemName === 'unauthenticated'
