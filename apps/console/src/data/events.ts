import { useState } from 'react'
import { useEvents } from './live.tsx'
import { type List, useList } from './query.ts'
import type { Event } from './types.ts'

export interface EventFilter {
  /** First parts of types: `machine`, `replica`. Undefined are all. */
  readonly groups?: readonly string[] | undefined
  readonly machine?: string | undefined
  readonly deployment?: string | undefined
}

const fits = (event: Event, { groups, machine, deployment }: EventFilter): boolean => {
  if (groups !== undefined && !groups.includes(event.type.split('.')[0]!)) return false
  const data: object & { readonly machineId?: string; readonly deploymentId?: string } = event.data as object
  if (machine !== undefined && data.machineId !== machine) return false
  return deployment === undefined || data.deploymentId === deployment
}

const keptLive = 500

/** Events newest first: those that were asked for, and above them those that came since. */
export function useEventList(
  filter: EventFilter,
  types: readonly Event['type'][] | undefined,
  limit: number,
): List<Event> {
  const [live, setLive] = useState<readonly Event[]>([])
  useEvents((event) => setLive((known) => [event, ...known].slice(0, keptLive)))
  const list = useList(
    ['events', filter.machine ?? '', filter.deployment ?? '', types?.join() ?? ''],
    (client, query, signal) =>
      client.events.list({
        query: {
          ...query,
          ...(types !== undefined && { type: [...types] }),
          ...(filter.machine !== undefined && { machine: filter.machine }),
          ...(filter.deployment !== undefined && { deployment: filter.deployment }),
        },
        signal,
      }),
    { limit },
  )
  const newest = list.items[0]?.sequence ?? 0
  const seen = new Set<number>()
  const fresh = live.filter((event) => {
    const isNew = event.sequence > newest && fits(event, filter) && !seen.has(event.sequence)
    seen.add(event.sequence)
    return isNew
  })
  return { ...list, items: [...fresh, ...list.items] }
}
