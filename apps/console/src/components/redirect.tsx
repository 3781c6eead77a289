import { useNavigate } from '@tanstack/react-router'
import { useEffect } from 'react'

/** Goes somewhere else, once, however often what is around it changes meanwhile. */
export function Redirect({ to }: { readonly to: string }) {
  const navigate = useNavigate()
  // biome-ignore lint/correctness/useExhaustiveDependencies: where to was decided when it appeared
  useEffect(() => {
    void navigate({ href: to, replace: true })
  }, [])
  return null
}
