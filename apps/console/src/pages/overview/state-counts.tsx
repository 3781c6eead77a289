import { Link } from '@tanstack/react-router'
import { toneOf } from '../../components/badge.tsx'
import { Card } from '../../components/card.tsx'
import { classNames } from '../../components/class-names.ts'
import { Skeleton } from '../../components/skeleton.tsx'
import { plural } from '../../format/numbers.ts'

interface StateCountsProps {
  readonly title: string
  readonly to: '/machines' | '/deployments'
  readonly counts: Readonly<Record<string, number>> | null
}

const colours = { ok: 'bg-ok', warn: 'bg-warn', bad: 'bg-bad', busy: 'bg-accent', idle: 'bg-line-strong' }

/** How many there are in each state, as a bar and in words. */
export function StateCounts({ title, to, counts }: StateCountsProps) {
  const entries = Object.entries(counts ?? {}).filter(([, count]) => count > 0)
  const total = entries.reduce((sum, [, count]) => sum + count, 0)
  return (
    <Card
      title={title}
      actions={
        <Link to={to} className="text-xs text-accent hover:underline">
          All {title.toLowerCase()}
        </Link>
      }
    >
      {counts === null ? (
        <Skeleton className="h-16" />
      ) : (
        <div className="flex flex-col gap-2.5">
          <div className="flex h-2 gap-0.5 overflow-hidden rounded-full bg-line" aria-hidden="true">
            {entries.map(([state, count]) => (
              <span key={state} className={colours[toneOf(state)]} style={{ flexGrow: count }} />
            ))}
          </div>
          <ul className="flex flex-wrap gap-x-4 gap-y-1 text-sm">
            {total === 0 && <li className="text-ink-3">none yet</li>}
            {entries.map(([state, count]) => (
              <li key={state} className="inline-flex items-center gap-1.5">
                <span
                  className={classNames('size-2 rounded-full', colours[toneOf(state)])}
                  aria-hidden="true"
                />
                <span className="font-medium tabular-nums">{count}</span>
                <span className="text-ink-2">{state}</span>
              </li>
            ))}
          </ul>
          <span className="sr-only">{plural(total, title.toLowerCase().slice(0, -1))}</span>
        </div>
      )}
    </Card>
  )
}
