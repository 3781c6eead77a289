import { useLayoutEffect, useRef, useState } from 'react'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { classNames } from '../../components/class-names.ts'
import { Select } from '../../components/field.tsx'
import { LiveBadge } from '../../components/live-badge.tsx'
import { Problem } from '../../components/problem.tsx'
import { SkeletonRows } from '../../components/skeleton.tsx'
import { useNames } from '../../data/names.ts'
import { useList } from '../../data/query.ts'
import { useClient } from '../../data/session.tsx'
import type { LogLine, Replica } from '../../data/types.ts'
import { useStream } from '../../data/use-stream.ts'
import { formatAbsolute, formatClock } from '../../format/time.ts'

type Level = LogLine['level']

const levelClasses: Readonly<Record<Level, string>> = {
  debug: 'text-ink-3',
  info: 'text-ink-2',
  warn: 'text-warn',
  error: 'text-bad',
}

const keptLines = 2000
const nearEndPx = 40

interface LogsProps {
  readonly deployment: string
  readonly replicas: readonly Replica[]
}

/** Log lines, oldest first, and those that are being written. */
export function Logs({ deployment, replicas }: LogsProps) {
  const [level, setLevel] = useState<Level | undefined>(undefined)
  const [replica, setReplica] = useState<string | undefined>(undefined)
  const [following, setFollowing] = useState(true)
  return (
    <Card
      title="Logs"
      flush
      actions={
        <>
          <Select
            aria-label="Level"
            className="w-auto"
            options={[
              ['', 'All levels'],
              ['info', 'Info and above'],
              ['warn', 'Warnings and errors'],
              ['error', 'Errors'],
            ]}
            value={level ?? ''}
            onValue={(value) => setLevel(value === '' ? undefined : (value as Level))}
          />
          <Select
            aria-label="Replica"
            className="w-auto max-w-40"
            options={[['', 'All replicas'], ...replicas.map(({ id }) => [id, id] as const)]}
            value={replica ?? ''}
            onValue={(value) => setReplica(value === '' ? undefined : value)}
          />
          <Button size="small" aria-pressed={following} onClick={() => setFollowing(!following)}>
            {following ? 'Stop following' : 'Follow'}
          </Button>
        </>
      }
    >
      <LogView
        key={`${level} ${replica}`}
        deployment={deployment}
        level={level}
        replica={replica}
        following={following}
      />
    </Card>
  )
}

interface LogViewProps {
  readonly deployment: string
  readonly level: Level | undefined
  readonly replica: string | undefined
  readonly following: boolean
}

function LogView({ deployment, level, replica, following }: LogViewProps) {
  const client = useClient()
  const names = useNames()
  const box = useRef<HTMLDivElement>(null)
  const [live, setLive] = useState<readonly LogLine[]>([])
  const params = { deployment }
  const filter = { ...(level !== undefined && { level }), ...(replica !== undefined && { replica }) }
  const past = useList(
    ['logs', deployment, level ?? '', replica ?? ''],
    (api, query, signal) => api.deployments.logs({ params, query: { ...query, ...filter }, signal }),
    { limit: 200 },
  )
  const { state } = useStream(
    following && !past.isPending ? `${deployment} ${level} ${replica}` : null,
    (signal) => {
      const last = live.at(-1)?.sequence ?? past.items[0]?.sequence
      return client.deployments.followLogs({
        params,
        query: filter,
        signal,
        ...(last !== undefined && { lastEventId: String(last) }),
      })
    },
    (line) => setLive((known) => [...known.slice(1 - keptLines), line]),
  )
  const newestPast = past.items[0]?.sequence ?? -1
  const lines = [...[...past.items].reverse(), ...live.filter(({ sequence }) => sequence > newestPast)]

  // biome-ignore lint/correctness/useExhaustiveDependencies: another line is the reason to scroll
  useLayoutEffect(() => {
    const element = box.current
    if (element === null || !following) return
    const isNearEnd = element.scrollHeight - element.scrollTop - element.clientHeight < nearEndPx + 20
    if (isNearEnd || element.scrollTop === 0) element.scrollTop = element.scrollHeight
  }, [lines.length, following])

  if (past.isPending) return <SkeletonRows rows={8} />
  if (past.error && past.items.length === 0) {
    return (
      <div className="p-4">
        <Problem error={past.error} retry={past.refetch} />
      </div>
    )
  }
  return (
    <>
      <div
        ref={box}
        role="log"
        aria-live="off"
        aria-label="Log lines"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        tabIndex={0}
        className="h-[28rem] overflow-auto bg-canvas px-4 py-2 font-mono text-xs leading-5"
      >
        {past.more !== null && (
          <Button size="small" look="quiet" busy={past.isLoadingMore} onClick={past.more}>
            Older lines
          </Button>
        )}
        {lines.map(({ sequence, at, level: lineLevel, machineId, message }) => (
          <div key={sequence} className="flex gap-3">
            <time dateTime={at} title={formatAbsolute(at)} className="shrink-0 text-ink-3">
              {formatClock(at)}
            </time>
            <span className={classNames('w-10 shrink-0', levelClasses[lineLevel])}>{lineLevel}</span>
            <span className="w-24 shrink-0 truncate text-ink-3 max-sm:hidden">
              {machineId === null ? '' : names.machine(machineId)}
            </span>
            <span
              className={classNames(
                'min-w-0 break-words whitespace-pre-wrap',
                lineLevel === 'error' && 'text-bad',
              )}
            >
              {message}
            </span>
          </div>
        ))}
        {lines.length === 0 && <p className="py-8 text-center font-sans text-sm text-ink-3">No lines yet.</p>}
      </div>
      <footer className="flex items-center justify-between border-t border-line px-4 py-2">
        <LiveBadge state={following ? state : 'paused'} />
        <span className="text-xs text-ink-3 tabular-nums">{lines.length} lines</span>
      </footer>
    </>
  )
}
