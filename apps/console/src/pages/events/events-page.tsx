import { eventTypes } from '@deos/sdk'
import { getRouteApi } from '@tanstack/react-router'
import { useState } from 'react'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { EventList } from '../../components/event-list.tsx'
import { Select } from '../../components/field.tsx'
import { LiveBadge } from '../../components/live-badge.tsx'
import { Page } from '../../components/page.tsx'
import { useDeployments, useMachines } from '../../data/lists.ts'
import { useLive } from '../../data/live.tsx'

const route = getRouteApi('/app/events')

const topics = [
  ['', 'About everything'],
  ['machine,join-token', 'Machines'],
  ['model', 'Models'],
  ['deployment,alias', 'Deployments'],
  ['replica,stage', 'Replicas and stages'],
  ['key,budget,ledger', 'Keys and money'],
  ['member,invitation,project,settings', 'People and settings'],
] as const

/** The server takes at most so many types in one question. */
const maxTypes = 20

export function EventsPage() {
  const { about = '', machine, deployment } = route.useSearch()
  const navigate = route.useNavigate()
  const machines = useMachines().items
  const deployments = useDeployments().items
  const { state } = useLive()
  const [version, setVersion] = useState(0)
  const change = (changes: {
    about?: string | undefined
    machine?: string | undefined
    deployment?: string | undefined
  }) => void navigate({ search: (known) => ({ ...known, ...changes }), replace: true })
  const topic = topics.find(([value]) => value === about)?.[0] ?? ''
  const groups = topic === '' ? undefined : topic.split(',')
  const types = groups && eventTypes.filter((type) => groups.includes(type.split('.')[0]!)).slice(0, maxTypes)
  return (
    <Page
      title="Events"
      about="What happened to fleet, deployments and settings, and who caused it."
      actions={<LiveBadge state={state} />}
    >
      <Card
        title="Newest first"
        flush
        actions={
          <>
            <Select
              aria-label="About"
              className="w-auto"
              options={topics}
              value={topic}
              onValue={(value) => change({ about: value || undefined })}
            />
            <Select
              aria-label="Machine"
              className="w-auto max-w-40"
              options={[['', 'All machines'], ...machines.map(({ id, name }) => [id, name] as const)]}
              value={machine ?? ''}
              onValue={(value) => change({ machine: value || undefined })}
            />
            <Select
              aria-label="Deployment"
              className="w-auto max-w-40"
              options={[['', 'All deployments'], ...deployments.map(({ id, name }) => [id, name] as const)]}
              value={deployment ?? ''}
              onValue={(value) => change({ deployment: value || undefined })}
            />
            <Button
              size="small"
              onClick={() => {
                setVersion(version + 1)
                void navigate({ search: {}, replace: true })
              }}
            >
              Reset
            </Button>
          </>
        }
      >
        <EventList
          key={`${version} ${topic} ${machine} ${deployment}`}
          goesOn
          groups={groups}
          types={types}
          machine={machine}
          deployment={deployment}
        />
      </Card>
    </Page>
  )
}
