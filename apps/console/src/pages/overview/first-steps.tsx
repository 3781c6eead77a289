import { Link } from '@tanstack/react-router'
import { CircleCheck, CircleDashed } from 'lucide-react'
import { Card } from '../../components/card.tsx'
import { useDeployments, useKeys, useMachines, useModels } from '../../data/lists.ts'
import { useMay } from '../../data/session.tsx'
import type { Status } from '../../data/types.ts'

/** What a new organisation has to do; gone when all is done. */
export function FirstSteps({ status }: { readonly status: Status | null }) {
  const machines = useMachines()
  const models = useModels()
  const deployments = useDeployments()
  const keys = useKeys(true)
  const may = useMay('deployments:write')
  const lists = [machines, models, deployments, keys]
  if (status === null || !may || lists.some(({ isPending, error }) => isPending || error)) return null
  if (lists.every(({ items }) => items.length > 0)) return null
  const steps = [
    {
      done: machines.items.length > 0,
      text: 'Add a machine',
      link: (
        <Link to="/machines" search={{ add: true }} className="font-medium hover:underline">
          Add a machine
        </Link>
      ),
    },
    {
      done: models.items.length > 0,
      text: 'Add a model',
      link: (
        <Link to="/models" search={{ add: true }} className="font-medium hover:underline">
          Add a model
        </Link>
      ),
    },
    {
      done: deployments.items.length > 0,
      text: 'Deploy it',
      link: (
        <Link to="/deployments/new" className="font-medium hover:underline">
          Deploy it
        </Link>
      ),
    },
    {
      done: keys.items.length > 0,
      text: 'Create an API key',
      link: (
        <Link to="/keys" search={{ create: true }} className="font-medium hover:underline">
          Create an API key
        </Link>
      ),
    },
  ]
  return (
    <Card title="First steps">
      <ol className="grid gap-3 text-sm sm:grid-cols-2 xl:grid-cols-4">
        {steps.map(({ done, text, link }) => (
          <li key={text} className="flex items-center gap-2">
            {done ? (
              <CircleCheck className="size-4.5 text-ok" aria-label="done" />
            ) : (
              <CircleDashed className="size-4.5 text-ink-3" aria-label="to do" />
            )}
            {done ? <span className="text-ink-3">{text}</span> : link}
          </li>
        ))}
      </ol>
    </Card>
  )
}
