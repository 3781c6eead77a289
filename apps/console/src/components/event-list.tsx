import { Activity } from 'lucide-react'
import { type EventFilter, useEventList } from '../data/events.ts'
import { type Names, useNames } from '../data/names.ts'
import type { Event } from '../data/types.ts'
import { Button } from './button.tsx'
import { Card } from './card.tsx'
import { Empty } from './empty.tsx'
import { Problem } from './problem.tsx'
import { SkeletonRows } from './skeleton.tsx'
import type { Tab } from './tabs.tsx'
import { Time } from './time.tsx'

/** Who or what caused an event. */
export function causeText({ cause }: Pick<Event, 'cause'>, names: Names): string {
  switch (cause.kind) {
    case 'user':
      return names.person(cause.id)
    case 'key':
      return `key ${names.key(cause.id)}`
    case 'machine':
      return names.machine(cause.id)
    case 'system':
      return 'DeOS'
  }
}

const bad = /failed|offline|quarantined|refused|reached/
const good = /ready|joined|released|returned|loaded$/

const dotOf = (type: Event['type']): string =>
  bad.test(type) ? 'bg-bad' : good.test(type) ? 'bg-ok' : 'bg-line-strong'

interface EventListProps extends EventFilter {
  readonly types?: readonly Event['type'][] | undefined
  readonly limit?: number
  /** Whether older ones may be asked for. */
  readonly goesOn?: boolean
}

/** The tab of a page about one thing that shows what happened to it. */
export const eventsTab = (of: { readonly machine: string } | { readonly deployment: string }): Tab => ({
  id: 'events',
  label: 'Events',
  content: (
    <Card title={'machine' in of ? 'Events of this machine' : 'Events of this deployment'} flush>
      <EventList {...of} goesOn />
    </Card>
  ),
})

/** Events newest first, new ones as they happen. */
export function EventList({ limit = 50, goesOn = false, types, ...filter }: EventListProps) {
  const list = useEventList(filter, types, limit)
  const names = useNames()
  const shown = goesOn ? list.items : list.items.slice(0, limit)
  if (list.isPending) return <SkeletonRows rows={4} />
  if (list.error && shown.length === 0) {
    return (
      <div className="p-4">
        <Problem error={list.error} retry={list.refetch} />
      </div>
    )
  }
  if (shown.length === 0) {
    return (
      <Empty icon={Activity} title="Nothing has happened" command="deos events -f">
        Whatever happens to machines, deployments and settings is written down here, with who caused it.
      </Empty>
    )
  }
  return (
    <>
      <ul className="divide-y divide-line">
        {shown.map((event) => (
          <li key={event.sequence} className="flex items-start gap-3 px-4 py-2.5 text-sm">
            <span className={`mt-1.5 size-2 shrink-0 rounded-full ${dotOf(event.type)}`} aria-hidden="true" />
            <div className="min-w-0 flex-1">
              <p className="break-words">{event.message}</p>
              <p className="text-xs text-ink-3">
                <code className="w-full font-mono">{event.type}</code> · by {causeText(event, names)}
              </p>
            </div>
            <span className="shrink-0 text-xs text-ink-3">
              <Time at={event.at} />
            </span>
          </li>
        ))}
      </ul>
      {goesOn && list.more !== null && (
        <div className="border-t border-line p-2 text-center">
          <Button look="quiet" size="small" busy={list.isLoadingMore} onClick={list.more}>
            Show older ones
          </Button>
        </div>
      )}
    </>
  )
}
