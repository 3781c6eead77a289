import { getRouteApi } from '@tanstack/react-router'
import { Badge, StateBadge } from '../../components/badge.tsx'
import { Card, Facts } from '../../components/card.tsx'
import { eventsTab } from '../../components/event-list.tsx'
import { MachineActions } from '../../components/machine-actions.tsx'
import { Meter } from '../../components/meter.tsx'
import { BackLink, Page } from '../../components/page.tsx'
import { Problem } from '../../components/problem.tsx'
import { ReasonText } from '../../components/reason.tsx'
import { SeriesOverTime } from '../../components/series.tsx'
import { SkeletonPage } from '../../components/skeleton.tsx'
import { Tabs } from '../../components/tabs.tsx'
import { Time } from '../../components/time.tsx'
import { useData } from '../../data/query.ts'
import { useMay } from '../../data/session.tsx'
import type { Machine } from '../../data/types.ts'
import { formatMoney } from '../../format/money.ts'
import { formatPercent, formatSize, nothing } from '../../format/numbers.ts'
import { machineTabs } from '../../search.ts'
import { EditMachine } from './edit-machine.tsx'
import { Hardware } from './hardware.tsx'
import { HeldStages } from './held-stages.tsx'
import { Links } from './links.tsx'

const route = getRouteApi('/app/machines/$machine')
const loadMs = 5000

export function MachinePage() {
  const { machine: id } = route.useParams()
  const { tab = 'live', window = '1h' } = route.useSearch()
  const navigate = route.useNavigate()
  const mayReadEvents = useMay('events:read')
  const query = useData(
    ['machines', id],
    (client, signal) => client.machines.show({ params: { machine: id }, signal }),
    {
      refetchMs: loadMs,
    },
  )
  const series = useData(
    ['machine-series', id, window],
    (client, signal) => client.machines.series({ params: { machine: id }, query: { window }, signal }),
    { refetchMs: 15_000, enabled: tab === 'live' },
  )
  const machine = query.data
  if (machine === undefined) {
    return query.error ? <Problem error={query.error} retry={() => void query.refetch()} /> : <SkeletonPage />
  }
  const tabs = [
    {
      id: 'live',
      label: 'Live',
      content: (
        <>
          <Load machine={machine} />
          <SeriesOverTime
            query={series}
            empty="The machine tells what it does every second; its charts begin soon."
            window={window}
            onWindow={(next) =>
              void navigate({ search: (known) => ({ ...known, window: next }), replace: true })
            }
          />
        </>
      ),
    },
    { id: 'hardware', label: 'Hardware', content: <Hardware machine={machine} /> },
    { id: 'stages', label: `Stages (${machine.stages.length})`, content: <HeldStages machine={machine} /> },
    { id: 'links', label: 'Links', content: <Links machine={machine} /> },
    ...(mayReadEvents ? [eventsTab({ machine: id })] : []),
  ]
  return (
    <Page
      title={machine.name}
      back={<BackLink to="/machines">Machines</BackLink>}
      badge={<StateBadge state={machine.state} />}
      about={<ReasonText reason={machine.reason} />}
      actions={
        <>
          <EditMachine machine={machine} />
          <MachineActions machine={machine} isPage />
        </>
      }
    >
      <Notes machine={machine} />
      <Tabs
        label="Of this machine"
        tabs={tabs}
        value={tab}
        onValue={(next) =>
          void navigate({
            search: (known) => ({ ...known, tab: machineTabs.find((each) => each === next) }),
            replace: true,
          })
        }
      />
    </Page>
  )
}

/** What people and the system decided about it. */
function Notes({ machine }: { readonly machine: Machine }) {
  const notes = [
    ...(machine.cordon === null ? [] : [{ name: 'cordoned', tone: 'warn' as const, ...machine.cordon }]),
    ...(machine.drain === null ? [] : [{ name: 'draining', tone: 'warn' as const, ...machine.drain }]),
    ...machine.quarantines.map(({ cause, reason, at }) => ({
      name: `quarantine: ${cause}`,
      tone: 'bad' as const,
      reason,
      at,
    })),
  ]
  if (notes.length === 0) return null
  return (
    <ul className="flex flex-col gap-2">
      {notes.map(({ name, tone, reason, at }) => (
        <li key={name} className="flex flex-wrap items-center gap-2 text-sm">
          <Badge tone={tone}>{name}</Badge>
          <span>{reason}</span>
          <span className="text-xs text-ink-3">
            <Time at={at} />
          </span>
        </li>
      ))}
    </ul>
  )
}

function Load({ machine }: { readonly machine: Machine }) {
  const { load, inventory, lease } = machine
  return (
    <div className="grid gap-4 lg:grid-cols-2">
      <Card title="Now">
        {load === null ? (
          <p className="text-sm text-ink-3">It has not told what it does.</p>
        ) : (
          <dl className="flex flex-col gap-3 text-sm">
            <Level label="CPU" fraction={load.cpuFraction} text={formatPercent(load.cpuFraction)} />
            {inventory !== null && (
              <Level
                label="Memory"
                fraction={load.memoryUsedBytes / inventory.memoryBytes}
                text={`${formatSize(load.memoryUsedBytes)} of ${formatSize(inventory.memoryBytes)}`}
              />
            )}
            {load.devices.map(({ device, promisedBytes, memoryBytes }) => (
              <Level
                key={device}
                label={`${device}, promised`}
                fraction={memoryBytes === 0 ? 0 : promisedBytes / memoryBytes}
                text={`${formatSize(promisedBytes)} of ${formatSize(memoryBytes)}`}
              />
            ))}
          </dl>
        )}
      </Card>
      <Card title="About">
        <Facts
          facts={[
            [
              'Id',
              <code key="id" className="font-mono text-xs">
                {machine.id}
              </code>,
            ],
            ['Location', `${machine.location.region} · ${machine.location.provider}`],
            ['Price an hour', machine.pricePerHour === null ? 'none set' : formatMoney(machine.pricePerHour)],
            ['Version', machine.version],
            ['Incarnation', String(machine.incarnation)],
            ['Last heartbeat', <Time key="heartbeat" at={lease?.lastHeartbeatAt ?? null} />],
            ['Lease ends', lease === null ? nothing : <Time key="lease" at={lease.expiresAt} />],
            ['Joined', <Time key="joined" at={machine.joinedAt} />],
          ]}
        />
      </Card>
    </div>
  )
}

const Level = ({
  label,
  fraction,
  text,
}: {
  readonly label: string
  readonly fraction: number
  readonly text: string
}) => (
  <div>
    <dt className="mb-1 text-xs text-ink-3">{label}</dt>
    <dd>
      <Meter label={label} fraction={fraction} text={text} />
    </dd>
  </div>
)
