import { Link as RouterLink } from '@tanstack/react-router'
import { Cable } from 'lucide-react'
import { Card } from '../../components/card.tsx'
import { Empty } from '../../components/empty.tsx'
import { Problem } from '../../components/problem.tsx'
import { SkeletonRows } from '../../components/skeleton.tsx'
import { Table } from '../../components/table.tsx'
import { Time } from '../../components/time.tsx'
import { useNames } from '../../data/names.ts'
import { useData } from '../../data/query.ts'
import type { Machine } from '../../data/types.ts'
import { formatBandwidth, formatDuration } from '../../format/numbers.ts'

/** Measured ways to and from other machines. */
export function Links({ machine }: { readonly machine: Machine }) {
  const names = useNames()
  const { data, error, refetch } = useData(['machines', machine.id, 'links'], (client, signal) =>
    client.machines.links({ params: { machine: machine.id }, signal }),
  )
  if (error && data === undefined) return <Problem error={error} retry={() => void refetch()} />
  const links = [...(data?.links ?? [])].sort((a, b) => a.roundTripMs - b.roundTripMs)
  return (
    <Card title="Links" about="Neighbours in a ring are chosen by these." flush>
      {data === undefined ? (
        <SkeletonRows rows={3} />
      ) : links.length === 0 ? (
        <Empty icon={Cable} title="No links measured">
          Machines measure ways to one another as soon as two of them are there.
        </Empty>
      ) : (
        <Table
          label="Links"
          rows={links}
          rowKey={({ from, to }) => `${from} ${to}`}
          columns={[
            {
              name: 'Way',
              cell: ({ from, to }) => {
                const other = from === machine.id ? to : from
                return (
                  <>
                    <span className="text-ink-3">{from === machine.id ? 'to ' : 'from '}</span>
                    <RouterLink
                      to="/machines/$machine"
                      params={{ machine: other }}
                      className="font-medium hover:underline"
                    >
                      {names.machine(other)}
                    </RouterLink>
                  </>
                )
              },
            },
            {
              name: 'There and back',
              align: 'right',
              cell: ({ roundTripMs }) => formatDuration(roundTripMs),
            },
            {
              name: 'Bandwidth',
              align: 'right',
              cell: ({ bytesPerSecond }) => formatBandwidth(bytesPerSecond),
            },
            { name: 'Measured', align: 'right', cell: ({ measuredAt }) => <Time at={measuredAt} /> },
          ]}
        />
      )}
    </Card>
  )
}
