import { Link } from '@tanstack/react-router'
import { useSession } from '../data/session.tsx'
import { navigation } from './navigation.ts'

export function Sidebar() {
  const { may } = useSession()
  return (
    <nav aria-label="Pages" className="min-h-0 flex-1 overflow-y-auto p-2">
      {navigation.map(({ title, places }) => {
        const open = places.filter(({ permission }) => may(permission))
        if (open.length === 0) return null
        return (
          <div key={title ?? ''} className="mb-3">
            {title !== null && <p className="px-2.5 pt-2 pb-1 text-xs text-ink-3">{title}</p>}
            <ul className="flex flex-col gap-0.5">
              {open.map(({ to, label, icon: Icon }) => (
                <li key={to}>
                  <Link
                    to={to}
                    activeOptions={{ exact: to === '/', includeSearch: false }}
                    className="flex items-center gap-2.5 rounded-md px-2.5 py-1.5 text-sm text-ink-2 hover:bg-raised hover:text-ink data-[status=active]:bg-raised data-[status=active]:font-medium data-[status=active]:text-ink"
                  >
                    <Icon className="size-4 shrink-0" aria-hidden="true" />
                    {label}
                  </Link>
                </li>
              ))}
            </ul>
          </div>
        )
      })}
    </nav>
  )
}
