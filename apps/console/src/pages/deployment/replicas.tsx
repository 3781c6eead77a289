import { Link } from '@tanstack/react-router'
import { Rocket } from 'lucide-react'
import { Badge, StateBadge } from '../../components/badge.tsx'
import { Card } from '../../components/card.tsx'
import { Empty } from '../../components/empty.tsx'
import { Meter } from '../../components/meter.tsx'
import { layersText, Ring } from '../../components/ring/ring.tsx'
import { Table } from '../../components/table.tsx'
import { Time } from '../../components/time.tsx'
import type { DeploymentDetail, DeploymentLive, LiveReplica, Replica, Stage } from '../../data/types.ts'
import { formatMoney } from '../../format/money.ts'
import {
  formatCount,
  formatDuration,
  formatPercent,
  formatSize,
  formatTokenRate,
  nothing,
} from '../../format/numbers.ts'
import { predictedText } from './predicted-text.ts'
import { SplitDecisions } from './split-decisions.tsx'

const pathNames = { relayed: 'over the relay', punched: 'between two NATs' }

const roleNames = { prefill: 'computes prompts', decode: 'answers' }

interface ReplicasProps {
  readonly detail: DeploymentDetail
  readonly live: DeploymentLive | null
}

/** Each replica as a ring of stages, with its state and why. */
export function Replicas({ detail, live }: ReplicasProps) {
  if (detail.replicas.length === 0) {
    return (
      <Card>
        <Empty
          icon={Rocket}
          title="No replicas"
          command={`deos deployment scale ${detail.deployment.name} 1`}
        >
          {detail.deployment.reason.message}
        </Empty>
      </Card>
    )
  }
  const cards = detail.replicas.map((replica) => (
    <ReplicaCard
      key={replica.id}
      replica={replica}
      live={live?.replicas.find(({ id }) => id === replica.id)}
    />
  ))
  return (
    <>
      {cards}
      {detail.deployment.spec.split !== null && <SplitDecisions deployment={detail.deployment.id} />}
    </>
  )
}

const drawn = (stage: Stage) => ({
  key: stage.id,
  machineName: stage.machineName,
  layers: stage.layers,
  region: stage.location.region,
  state: stage.state,
  loadedFraction: stage.state === 'loading' ? stage.loadedFraction : null,
})

function ReplicaCard({
  replica,
  live,
}: {
  readonly replica: Replica
  readonly live: LiveReplica | undefined
}) {
  const stages = [...replica.stages].sort((a, b) => a.position - b.position)
  const isRunning = live !== undefined && (replica.state === 'ready' || replica.state === 'draining')
  return (
    <Card
      title={
        <span className="inline-flex flex-wrap items-center gap-2">
          Replica <code className="font-mono text-xs font-normal text-ink-3">{replica.id}</code>
          <StateBadge state={replica.state} />
          {replica.role !== 'both' && <Badge>{roleNames[replica.role]}</Badge>}
        </span>
      }
      about={
        <>
          {replica.reason.message} {replica.reason.since !== null && <Time at={replica.reason.since} />}
        </>
      }
      actions={
        <span className="text-xs text-ink-3">
          revision {replica.revision} · last token <Time at={replica.lastTokenAt} none="never" />
        </span>
      }
      flush
    >
      {stages.length === 0 ? (
        <p className="p-4 text-sm text-ink-3">No machines are chosen for it yet.</p>
      ) : (
        <>
          <div className="px-2 py-4">
            <Ring stages={stages.map(drawn)} live={isRunning ? live : undefined} caption={replica.state} />
          </div>
          {isRunning && <KvUse live={live} />}
          <div className="border-t border-line">
            <Stages stages={stages} live={live} />
          </div>
        </>
      )}
      <footer className="flex flex-wrap gap-x-6 gap-y-1 border-t border-line px-4 py-2.5 text-xs text-ink-3">
        <span>{predictedText(replica)}</span>
        {isRunning && <span>{measuredText(live)}</span>}
        <span>
          {replica.pricePerHour === null ? 'No price' : `${formatMoney(replica.pricePerHour)} an hour`}
        </span>
        <span>
          Ready <Time at={replica.readyAt} none="not yet" />
        </span>
      </footer>
    </Card>
  )
}

/** What is seen now: by Little's law, sessions and rate give the time of a token. */
function measuredText({ tokensPerSecond, activeSessions }: LiveReplica): string {
  if (!(tokensPerSecond > 0) || activeSessions === 0) return 'Measured nothing now'
  const tokenMs = (activeSessions * 1000) / tokensPerSecond
  const sessions = `${activeSessions} ${activeSessions === 1 ? 'session' : 'sessions'}`
  return `Measured ${formatDuration(tokenMs)} a token, ${formatTokenRate(tokensPerSecond)} with ${sessions}`
}

function KvUse({ live }: { readonly live: LiveReplica }) {
  const fraction = live.kvCapacityTokens === 0 ? 0 : live.kvUsedTokens / live.kvCapacityTokens
  return (
    <div className="px-4 pb-4">
      <p className="mb-1 text-xs text-ink-3">KV cache in use</p>
      <Meter
        label="KV cache in use"
        fraction={fraction}
        text={`${formatCount(live.kvUsedTokens)} of ${formatCount(live.kvCapacityTokens)} tokens`}
      />
    </div>
  )
}

function Stages({
  stages,
  live,
}: {
  readonly stages: readonly Stage[]
  readonly live: LiveReplica | undefined
}) {
  const now = new Map(live?.stages.map((stage) => [stage.id as string, stage]))
  return (
    <Table
      label="Stages"
      rows={stages}
      rowKey={({ id }) => id}
      columns={[
        {
          name: 'Machine',
          cell: ({ machineId, machineName, device, location }) => (
            <>
              <Link
                to="/machines/$machine"
                params={{ machine: machineId }}
                className="font-medium hover:underline"
              >
                {machineName}
              </Link>
              <div className="text-xs text-ink-3">
                {device} · {location.region}
              </div>
            </>
          ),
        },
        { name: 'Layers', cell: ({ layers }) => layersText(layers) },
        {
          name: 'State',
          cell: ({ state, reason, loadedFraction }) => (
            <div className="flex flex-col items-start gap-1 max-md:items-end">
              <StateBadge state={state} />
              {state === 'loading' && loadedFraction !== null ? (
                <div className="w-32">
                  <Meter progress label="Loaded" fraction={loadedFraction} />
                </div>
              ) : (
                <span className="text-xs text-ink-3">{reason.message}</span>
              )}
            </div>
          ),
        },
        { name: 'Weights', align: 'right', roomy: true, cell: ({ weightBytes }) => formatSize(weightBytes) },
        { name: 'KV cache', align: 'right', roomy: true, cell: ({ kvBytes }) => formatSize(kvBytes) },
        {
          name: 'Busy',
          align: 'right',
          cell: ({ id }) => {
            const busy = now.get(id)?.busyFraction
            return busy === undefined ? nothing : formatPercent(busy)
          },
        },
        {
          name: 'To the next',
          align: 'right',
          cell: ({ id }) => {
            const { linkRoundTripMs: trip = null, linkPath = null } = now.get(id) ?? {}
            if (trip === null) return nothing
            return (
              <span>
                {formatDuration(trip)}
                {linkPath !== null && linkPath !== 'direct' && (
                  <span className="block text-xs text-ink-3">{pathNames[linkPath]}</span>
                )}
              </span>
            )
          },
        },
      ]}
    />
  )
}
