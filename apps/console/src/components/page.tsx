import { Link } from '@tanstack/react-router'
import { ArrowLeft } from 'lucide-react'
import { type ReactNode, useEffect } from 'react'

/** Up from one thing to the list of them. */
export const BackLink = ({
  to,
  children,
}: {
  readonly to: '/machines' | '/models' | '/deployments' | '/requests'
  readonly children: ReactNode
}) => (
  <Link to={to} className="mb-1 inline-flex items-center gap-1 text-xs text-ink-3 hover:text-ink">
    <ArrowLeft className="size-3.5" aria-hidden="true" />
    {children}
  </Link>
)

interface PageProps {
  readonly title: string
  readonly about?: ReactNode
  readonly badge?: ReactNode
  readonly actions?: ReactNode
  readonly back?: ReactNode
  readonly children: ReactNode
}

/** The frame of every page: its name, what can be done, its content. */
export function Page({ title, about, badge, actions, back, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · DeOS`
  }, [title])
  return (
    <div className="mx-auto flex w-full max-w-7xl flex-col gap-5">
      <header className="flex flex-wrap items-start justify-between gap-x-4 gap-y-3">
        <div className="min-w-0">
          {back}
          <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
            <h1 className="min-w-0 text-xl font-semibold tracking-tight break-words">{title}</h1>
            {badge}
          </div>
          {about !== undefined && <p className="mt-1 max-w-3xl text-sm text-ink-3">{about}</p>}
        </div>
        {actions !== undefined && <div className="flex flex-wrap items-center gap-2">{actions}</div>}
      </header>
      {children}
    </div>
  )
}
