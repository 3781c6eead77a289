import { useEffect, useRef, useState } from 'react'
import type { LiveReplica, Stage } from '../../data/types.ts'
import { formatDuration, formatPercent, formatShort, plural } from '../../format/numbers.ts'
import { toneOf } from '../badge.tsx'
import { angleOf, dotsOf, pointAt, type RingShape, ringShape, turnsPerSecond } from './geometry.ts'
import { TokenDots } from './token-dots.tsx'

/** A stage as it is drawn: placed already, or only planned. */
export interface DrawnStage {
  readonly key: string
  readonly machineName: string
  readonly layers: Stage['layers']
  readonly region: string
  /** Null for plans. */
  readonly state: Stage['state'] | null
  readonly loadedFraction: number | null
}

interface RingProps {
  readonly stages: readonly DrawnStage[]
  readonly live?: LiveReplica | undefined
  /** Said in the middle while nothing is live. */
  readonly caption: string
}

/** Half-open ranges, as people read them. */
export const layersText = ({ first, end }: Stage['layers']): string =>
  end - first === 1 ? `layer ${first}` : `layers ${first}–${end - 1}`

/** Stages on machines in a circle, with what runs around in it. */
export function Ring({ stages, live, caption }: RingProps) {
  const host = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(0)
  useEffect(() => {
    const element = host.current!
    const observer = new ResizeObserver(() => setWidth(element.clientWidth))
    observer.observe(element)
    setWidth(element.clientWidth)
    return () => observer.disconnect()
  }, [])
  const shape = ringShape(Math.max(300, width), stages.length)
  const speed = live === undefined ? 0 : turnsPerSecond(live.tokensPerSecond, live.activeSessions)
  return (
    <div ref={host} className="min-w-0 overflow-hidden">
      {width > 0 && (
        <svg
          width={shape.width}
          height={shape.height}
          role="img"
          aria-label={describe(stages, live, caption)}
          className="mx-auto block text-[11px]"
        >
          <ellipse
            cx={shape.centre.x}
            cy={shape.centre.y}
            rx={shape.radiusX}
            ry={shape.radiusY}
            fill="none"
            stroke="var(--line-strong)"
            strokeWidth="1.5"
            strokeDasharray={live === undefined ? '4 5' : undefined}
          />
          {live !== undefined && (
            <TokenDots
              shape={shape}
              count={dotsOf(live.activeSessions, live.tokensPerSecond)}
              turnsPerSecond={speed}
            />
          )}
          <Links shape={shape} live={live} stages={stages.length} />
          {stages.map((stage, position) => (
            <Node
              key={stage.key}
              shape={shape}
              stage={stage}
              position={position}
              stages={stages.length}
              live={live}
              busy={live?.stages.find(({ id }) => id === stage.key)?.busyFraction ?? null}
            />
          ))}
          <Centre shape={shape} live={live} caption={caption} />
        </svg>
      )}
    </div>
  )
}

function describe(stages: readonly DrawnStage[], live: LiveReplica | undefined, caption: string): string {
  const places = stages.map(({ machineName, layers }) => `${layersText(layers)} on ${machineName}`).join('; ')
  const now =
    live === undefined
      ? caption
      : `${formatShort(live.tokensPerSecond)} tokens per second, ${plural(live.activeSessions, 'session')}`
  return `A ring of ${plural(stages.length, 'stage')}: ${places}. ${now}.`
}

function Centre({
  shape,
  live,
  caption,
}: {
  readonly shape: RingShape
  readonly live: LiveReplica | undefined
  readonly caption: string
}) {
  const { x, y } = shape.centre
  if (live === undefined) {
    return (
      <text x={x} y={y + 4} textAnchor="middle" className="fill-ink-3 text-xs">
        {caption}
      </text>
    )
  }
  const isWide = shape.radiusX * 2 - shape.nodeWidth > 150
  return (
    <g textAnchor="middle">
      <text x={x} y={y - 4} className="fill-ink text-2xl font-semibold tabular-nums">
        {formatShort(live.tokensPerSecond)}
      </text>
      <text x={x} y={y + 14} className="fill-ink-3">
        tokens/s
      </text>
      <text x={x} y={y + 32} className="fill-ink-2 tabular-nums">
        {live.activeSessions} active{isWide && ` · ${live.queuedSessions} queued`}
      </text>
      {!isWide && (
        <text x={x} y={y + 47} className="fill-ink-2 tabular-nums">
          {live.queuedSessions} queued
        </text>
      )}
    </g>
  )
}

/** Round trips between neighbours, a little inside of the line. */
function Links({
  shape,
  live,
  stages,
}: {
  readonly shape: RingShape
  readonly live: LiveReplica | undefined
  readonly stages: number
}) {
  if (live === undefined || stages < 2 || !shape.roomy) return null
  const inner = { ...shape, radiusX: shape.radiusX - 2, radiusY: shape.radiusY - 2 }
  return live.stages.map(({ id, linkRoundTripMs }, position) => {
    if (linkRoundTripMs === null) return null
    const { x, y } = pointAt(inner, angleOf(position + 0.5, stages))
    const text = formatDuration(linkRoundTripMs)
    const width = text.length * 6.2 + 10
    return (
      <g key={id}>
        <rect
          x={x - width / 2}
          y={y - 9}
          width={width}
          height={18}
          rx={9}
          fill="var(--surface)"
          stroke="var(--line)"
        />
        <text x={x} y={y + 4} textAnchor="middle" className="fill-ink-2 tabular-nums">
          {text}
        </text>
      </g>
    )
  })
}

const stateColour = {
  ok: 'var(--ok)',
  warn: 'var(--warn)',
  bad: 'var(--bad)',
  busy: 'var(--accent)',
  idle: 'var(--line-strong)',
}

interface NodeProps {
  readonly shape: RingShape
  readonly stage: DrawnStage
  readonly position: number
  readonly stages: number
  readonly live: LiveReplica | undefined
  readonly busy: number | null
}

function Node({ shape, stage, position, stages, live, busy }: NodeProps) {
  const { x, y } = pointAt(shape, angleOf(position, stages))
  const { nodeWidth: width, nodeHeight: height } = shape
  const colour = stateColour[stage.state === null ? 'idle' : toneOf(stage.state)]
  const title = (
    <title>
      {stage.machineName}: {layersText(stage.layers)}, {stage.region}
    </title>
  )
  if (!shape.roomy) {
    return (
      <g>
        {title}
        <circle cx={x} cy={y} r={14} fill="var(--surface)" stroke={colour} strokeWidth="2" />
        <text x={x} y={y + 4} textAnchor="middle" className="fill-ink tabular-nums">
          {position}
        </text>
      </g>
    )
  }
  const left = x - width / 2
  const top = y - height / 2
  const letters = Math.floor((width - 30) / 6.4)
  const name =
    stage.machineName.length > letters ? `${stage.machineName.slice(0, letters - 1)}…` : stage.machineName
  const kv =
    live === undefined || live.kvCapacityTokens === 0 ? null : live.kvUsedTokens / live.kvCapacityTokens
  return (
    <g>
      {title}
      <rect
        x={left}
        y={top}
        width={width}
        height={height}
        rx={8}
        fill="var(--surface)"
        stroke="var(--line-strong)"
      />
      <circle cx={left + 13} cy={top + 14} r={4} fill={colour} />
      <text x={left + 23} y={top + 18} className="fill-ink text-xs font-semibold">
        {name}
      </text>
      <text x={left + 10} y={top + 34} className="fill-ink-3">
        {layersText(stage.layers)}
      </text>
      {stage.loadedFraction !== null ? (
        <Bar
          x={left + 10}
          y={top + 47}
          width={width - 20}
          label="load"
          fraction={stage.loadedFraction}
          colour="var(--accent)"
        />
      ) : (
        <>
          {kv !== null && (
            <Bar
              x={left + 10}
              y={top + 44}
              width={width - 20}
              label="KV"
              fraction={kv}
              colour="var(--series-1)"
            />
          )}
          {busy !== null && (
            <Bar
              x={left + 10}
              y={top + 56}
              width={width - 20}
              label="busy"
              fraction={busy}
              colour="var(--series-3)"
            />
          )}
        </>
      )}
      {live === undefined && stage.loadedFraction === null && (
        <text x={left + 10} y={top + 51} className="fill-ink-3">
          {stage.state ?? stage.region}
        </text>
      )}
    </g>
  )
}

interface BarProps {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly label: string
  readonly fraction: number
  readonly colour: string
}

const labelWidth = 26
const valueWidth = 28

function Bar({ x, y, width, label, fraction, colour }: BarProps) {
  const room = width - labelWidth - valueWidth
  return (
    <g>
      <text x={x} y={y + 3.5} className="fill-ink-3 text-[9px]">
        {label}
      </text>
      <rect x={x + labelWidth} y={y - 2} width={room} height={4} rx={2} fill="var(--line)" />
      <rect
        x={x + labelWidth}
        y={y - 2}
        width={room * Math.min(1, fraction)}
        height={4}
        rx={2}
        fill={colour}
      />
      <text x={x + width} y={y + 3.5} textAnchor="end" className="fill-ink-2 text-[9px] tabular-nums">
        {formatPercent(fraction)}
      </text>
    </g>
  )
}
