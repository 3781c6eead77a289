import { useMutation } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useSession } from './session.tsx'
import type { Session } from './types.ts'

/** Makes a session by a link that was handed out, and goes on to the first page. */
export function useEntry<Body>(enter: (body: Body) => Promise<Session>) {
  const { renew } = useSession()
  const navigate = useNavigate()
  return useMutation({
    mutationFn: enter,
    onSuccess: async (session) => {
      await renew(session)
      await navigate({ to: '/', replace: true })
    },
  })
}
