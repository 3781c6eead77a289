import { useMemo } from 'react'
import type { Machine } from '../../data/types.ts'
import { plural } from '../../format/numbers.ts'
import { toneOf } from '../badge.tsx'
import { classNames } from '../class-names.ts'
import { landPath, mapHeight, mapWidth, project } from './land.ts'
import { placeOf } from './regions.ts'

interface Region {
  readonly name: string
  readonly machines: readonly Machine[]
  readonly ready: number
}

function regionsOf(machines: readonly Machine[]): readonly Region[] {
  const groups = new Map<string, Machine[]>()
  for (const machine of machines) {
    const { region } = machine.location
    groups.set(region, [...(groups.get(region) ?? []), machine])
  }
  return [...groups]
    .map(([name, members]) => ({
      name,
      machines: members,
      ready: members.filter(({ state }) => state === 'ready').length,
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

const colourOf = ({ machines, ready }: Region): string => {
  if (ready === machines.length) return 'text-ok'
  if (ready > 0) return 'text-warn'
  return machines.some(({ state }) => toneOf(state) === 'busy') ? 'text-accent' : 'text-bad'
}

interface RegionMapProps {
  readonly machines: readonly Machine[]
  readonly chosen: string | undefined
  readonly onChoose: (region: string | undefined) => void
}

/** Machines by region. The picture is for the eye; the buttons below it choose, and name what no map knows. */
export function RegionMap({ machines, chosen, onChoose }: RegionMapProps) {
  const land = useMemo(landPath, [])
  const regions = useMemo(() => regionsOf(machines), [machines])
  return (
    <div className="flex flex-col gap-3 p-4">
      <svg
        viewBox={`0 0 ${mapWidth} ${mapHeight}`}
        aria-hidden="true"
        className="mx-auto h-auto max-h-80 w-full"
      >
        <path
          d={land}
          stroke="currentColor"
          strokeWidth="3"
          strokeLinecap="round"
          className="text-line-strong/70"
        />
        {regions.map((region) => {
          const place = placeOf(region.name)
          if (place === null) return null
          const [x, y] = project(place)
          const radius = 6 + Math.min(12, 2.5 * Math.sqrt(region.machines.length))
          const faded = chosen !== undefined && chosen !== region.name
          return (
            <g key={region.name} className={classNames(colourOf(region), faded && 'opacity-40')}>
              <circle cx={x} cy={y} r={radius + 4} fill="currentColor" opacity="0.18" />
              <circle
                cx={x}
                cy={y}
                r={radius}
                fill="currentColor"
                stroke="var(--surface)"
                strokeWidth="1.5"
              />
              <text x={x} y={y + 4} textAnchor="middle" className="fill-surface text-[12px] font-semibold">
                {region.machines.length}
              </text>
            </g>
          )
        })}
      </svg>
      <ul className="flex flex-wrap gap-2" aria-label="Regions">
        {regions.map((region) => (
          <li key={region.name}>
            <button
              type="button"
              aria-pressed={chosen === region.name}
              onClick={() => onChoose(chosen === region.name ? undefined : region.name)}
              className="inline-flex items-center gap-2 rounded-full border border-line px-2.5 py-1 text-xs hover:bg-raised aria-pressed:border-ink aria-pressed:bg-raised"
            >
              <span
                className={classNames('size-2 rounded-full bg-current', colourOf(region))}
                aria-hidden="true"
              />
              <span className="font-medium">{region.name}</span>
              <span className="text-ink-3">
                {region.ready} of {plural(region.machines.length, 'machine')} ready
                {placeOf(region.name) === null && ' · not on the map'}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  )
}
