import { getRouteApi, Link } from '@tanstack/react-router'
import { Plus, Server } from 'lucide-react'
import { Badge } from '../../components/badge.tsx'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { Empty } from '../../components/empty.tsx'
import { Input, Select } from '../../components/field.tsx'
import { MachineActions } from '../../components/machine-actions.tsx'
import { RegionMap } from '../../components/map/region-map.tsx'
import { Meter } from '../../components/meter.tsx'
import { Page } from '../../components/page.tsx'
import { StateWithReason } from '../../components/reason.tsx'
import { type Column, ListTable, rowLink } from '../../components/table.tsx'
import { useMachines } from '../../data/lists.ts'
import { useMay } from '../../data/session.tsx'
import type { Machine } from '../../data/types.ts'
import { formatMoney } from '../../format/money.ts'
import { formatSize, nothing } from '../../format/numbers.ts'
import { AddMachine } from './add-machine.tsx'
import { JoinTokens } from './join-tokens.tsx'

const route = getRouteApi('/app/machines')

const columns: readonly Column<Machine>[] = [
  {
    name: 'Machine',
    cell: (machine) => (
      <>
        <Link to="/machines/$machine" params={{ machine: machine.id }} className={rowLink}>
          {machine.name}
        </Link>
        <div className="text-xs text-ink-3">
          {machine.location.region} · {machine.location.provider}
        </div>
      </>
    ),
  },
  {
    name: 'State',
    cell: (machine) => (
      <div className="flex flex-col items-start gap-1 max-md:items-end">
        <StateWithReason state={machine.state} reason={machine.reason} />
        {machine.cordon !== null && <Badge tone="warn">cordoned: {machine.cordon.reason}</Badge>}
      </div>
    ),
  },
  { name: 'Devices', cell: (machine) => <Devices machine={machine} /> },
  {
    name: 'Memory promised',
    className: 'md:min-w-40',
    roomy: true,
    cell: ({ load }) => {
      if (load === null) return nothing
      const promised = load.devices.reduce((sum, { promisedBytes }) => sum + promisedBytes, 0)
      const memory = load.devices.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0)
      return <Meter label="Memory promised to stages" fraction={memory === 0 ? 0 : promised / memory} />
    },
  },
  { name: 'Stages', align: 'right', roomy: true, cell: ({ stages }) => stages.length },
  {
    name: 'An hour',
    align: 'right',
    cell: ({ pricePerHour }) => (pricePerHour === null ? nothing : formatMoney(pricePerHour)),
  },
  { name: 'Actions', actions: true, cell: (machine) => <MachineActions machine={machine} /> },
]

function Devices({ machine: { inventory } }: { readonly machine: Machine }) {
  if (inventory === null) return <span className="text-ink-3">not known yet</span>
  const [first, ...rest] = inventory.devices
  return (
    <div>
      <div>{first?.description}</div>
      <div className="text-xs text-ink-3">
        {formatSize(first?.memoryBytes ?? 0)}
        {rest.length > 0 && ` and ${rest.length} more`}
      </div>
    </div>
  )
}

const choices = (values: readonly string[], all: string): readonly (readonly [string, string])[] => [
  ['', all],
  ...[...new Set(values)].sort().map((value) => [value, value] as const),
]

export function MachinesPage() {
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const machines = useMachines()
  const mayAdd = useMay('join-tokens:write')
  const change = (changes: Partial<typeof search>) =>
    void navigate({ search: (current) => ({ ...current, ...changes }), replace: true })
  const { state, region, provider, find } = search
  const rows = machines.items.filter(
    (machine) =>
      (state === undefined || machine.state === state) &&
      (region === undefined || machine.location.region === region) &&
      (provider === undefined || machine.location.provider === provider) &&
      (find === undefined || machine.name.includes(find.toLowerCase())),
  )
  const filtered = [state, region, provider, find].some((value) => value !== undefined)
  const add = mayAdd && (
    <Button look="primary" onClick={() => change({ add: true })}>
      <Plus aria-hidden="true" />
      Add machine
    </Button>
  )
  return (
    <Page
      title="Machines"
      about="What computes. Each holds stages of models; when one goes, its stages move."
      actions={add}
    >
      {machines.items.length > 0 && (
        <Card title="By region" flush>
          <RegionMap
            machines={machines.items}
            chosen={region}
            onChoose={(chosen) => change({ region: chosen })}
          />
        </Card>
      )}
      <Card
        title={filtered ? `${rows.length} of ${machines.items.length} machines` : 'All machines'}
        flush
        actions={
          <div className="flex flex-wrap gap-2">
            <Input
              aria-label="Find by name"
              placeholder="Find by name"
              className="w-full sm:w-40"
              value={find ?? ''}
              onChange={(event) => change({ find: event.target.value || undefined })}
            />
            <Select
              aria-label="State"
              className="w-auto"
              options={choices(
                machines.items.map((machine) => machine.state),
                'Any state',
              )}
              value={state ?? ''}
              onValue={(value) => change({ state: value || undefined })}
            />
            <Select
              aria-label="Provider"
              className="w-auto"
              options={choices(
                machines.items.map(({ location }) => location.provider),
                'Any provider',
              )}
              value={provider ?? ''}
              onValue={(value) => change({ provider: value || undefined })}
            />
          </div>
        }
      >
        <ListTable
          label="Machines"
          list={machines}
          rows={rows}
          columns={columns}
          rowKey={({ id }) => id}
          empty={
            filtered ? (
              <Empty
                icon={Server}
                title="No machine is like that"
                action={<Button onClick={() => void navigate({ search: {} })}>Show all</Button>}
              >
                {machines.items.length} machines are there, but the filters leave none.
              </Empty>
            ) : (
              <Empty
                icon={Server}
                title="No machines yet"
                command={`deos join ${location.origin} --token <token>`}
                action={add}
              >
                Create a join token, then paste one line into a terminal of the machine. Outgoing connections
                are all it needs.
              </Empty>
            )
          }
        />
      </Card>
      {mayAdd && <JoinTokens />}
      {mayAdd && (
        <AddMachine open={search.add === true} onOpenChange={(open) => change({ add: open || undefined })} />
      )}
    </Page>
  )
}
