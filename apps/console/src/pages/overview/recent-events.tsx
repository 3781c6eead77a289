import { Link } from '@tanstack/react-router'
import { Card } from '../../components/card.tsx'
import { EventList } from '../../components/event-list.tsx'
import { useMay } from '../../data/session.tsx'

export function RecentEvents() {
  if (!useMay('events:read')) return null
  return (
    <Card
      title="What happened last"
      flush
      actions={
        <Link to="/events" className="text-xs text-accent hover:underline">
          All events
        </Link>
      }
    >
      <EventList limit={8} />
    </Card>
  )
}
