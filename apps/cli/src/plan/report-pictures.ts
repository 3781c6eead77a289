import type { FleetMachine } from '@deos/planner'
import { colour, figure, key, label, rect, svg } from '@deos/report'

/** Who holds an accelerator: a replica or a stage, by number; `null` if nobody. */
export type HolderOf = (machine: string, slot: number) => number | null

const tile = 12
const gap = 3
const perRow = 15

/** Regions side by side, in them sites, in them a square for every accelerator, coloured by who uses it. */
export function fleetMap(
  machines: readonly FleetMachine[],
  holderOf: HolderOf,
  holderName: (holder: number) => string,
): string {
  const regions = grouped(machines, ({ region }) => region)
  const width = 760
  const columns = Math.min(regions.length, 3)
  const columnWidth = width / columns
  const tops = new Array<number>(columns).fill(8)
  const parts: string[] = []
  const holders = new Set<number>()
  for (const [region, inRegion] of regions) {
    const column = tops.indexOf(Math.min(...tops))
    const x = column * columnWidth + 4
    let y = tops[column]!
    const top = y
    const inner: string[] = [label(x + 10, y + 18, region, 'font-weight="600"')]
    y += 28
    for (const [site, inSite] of grouped(inRegion, (machine) => machine.site)) {
      const slots = inSite.flatMap((machine) =>
        Array.from({ length: machine.accelerators }, (_, slot) => ({ machine, slot })),
      )
      inner.push(label(x + 10, y + 10, `${site}: ${kindsOf(inSite)}`, 'class="soft"'))
      y += 16
      for (const [at, { machine, slot }] of slots.entries()) {
        const holder = holderOf(machine.name, slot)
        if (holder !== null) holders.add(holder)
        const box = {
          x: x + 10 + (at % perRow) * (tile + gap),
          y: y + Math.floor(at / perRow) * (tile + gap),
          width: tile,
          height: tile,
        }
        const who = holder === null ? 'not used' : holderName(holder)
        inner.push(
          rect(
            box,
            holder === null ? 'none' : colour(holder),
            `${machine.name} #${slot}, ${machine.accelerator.name}: ${who}`,
            'rx="2" stroke="var(--line)"',
          ),
        )
      }
      y += Math.ceil(slots.length / perRow) * (tile + gap) + 8
    }
    const box = { x, y: top, width: columnWidth - 8, height: y - top }
    parts.push(rect(box, 'var(--card)', '', 'rx="8"'), ...inner)
    tops[column] = y + 8
  }
  const legend = [...holders].sort((a, b) => a - b).slice(0, 16)
  return figure(
    svg(width, Math.max(...tops), 'Fleet map', parts.join('')),
    key(legend.map((holder) => [holderName(holder), colour(holder)])),
  )
}

function grouped<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
): readonly (readonly [string, readonly T[]])[] {
  const groups = new Map<string, T[]>()
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item])
  return [...groups]
}

const kindsOf = (machines: readonly FleetMachine[]): string =>
  grouped(machines, ({ accelerator }) => accelerator.name)
    .map(([name, alike]) => `${alike.reduce((sum, { accelerators }) => sum + accelerators, 0)} × ${name}`)
    .join(', ')

export interface TimelineRow {
  readonly name: string
  readonly spans: readonly {
    readonly from: number
    readonly to: number
    readonly kind: number
    readonly title: string
  }[]
}

/** Rows over one axis of time. @param unit - of the times: `ms`, `s` */
export function timeline(rows: readonly TimelineRow[], kinds: readonly string[], unit: string): string {
  const end = Math.max(1e-9, ...rows.flatMap(({ spans }) => spans.map(({ to }) => to)))
  const [left, width, height] = [150, 760, 18]
  const scale = (width - left - 10) / end
  const parts = rows.flatMap(({ name, spans }, row) => {
    const y = 6 + row * (height + 4)
    return [
      label(0, y + 13, name.length > 24 ? `${name.slice(0, 23)}…` : name),
      rect({ x: left, y, width: width - left - 10, height }, 'var(--card)', '', 'rx="3"'),
      ...spans.map(({ from, to, kind, title }) =>
        rect(
          { x: left + from * scale, y: y + 1, width: Math.max(0.4, (to - from) * scale), height: height - 2 },
          colour(kind),
          title,
        ),
      ),
    ]
  })
  const bottom = 6 + rows.length * (height + 4)
  const ticks = Array.from({ length: 6 }, (_, at) => {
    const value = (end * at) / 5
    const anchor = at === 0 ? 'start' : at === 5 ? 'end' : 'middle'
    return label(
      left + value * scale,
      bottom + 14,
      `${Number(value.toPrecision(3))} ${unit}`,
      `class="soft" text-anchor="${anchor}"`,
    )
  })
  return figure(
    svg(width, bottom + 20, 'Timeline', [...parts, ...ticks].join('')),
    key(kinds.map((name, at) => [name, colour(at)])),
  )
}

export interface MemoryRow {
  readonly name: string
  readonly totalBytes: number
  readonly parts: readonly { readonly sizeBytes: number; readonly title: string }[]
}

/** A bar as long as each accelerator's memory, filled by what is in it. */
export function memoryBars(rows: readonly MemoryRow[], kinds: readonly string[]): string {
  const most = Math.max(1, ...rows.map(({ totalBytes }) => totalBytes))
  const [left, width, height] = [150, 760, 16]
  const scale = (width - left - 10) / most
  const body = rows.flatMap(({ name, totalBytes, parts }, row) => {
    const y = 4 + row * (height + 5)
    let used = 0
    const bars = parts.map(({ sizeBytes, title }, kind) => {
      const box = { x: left + used * scale, y, width: sizeBytes * scale, height }
      used += sizeBytes
      return rect(box, colour(kind), title)
    })
    return [
      label(0, y + 12, name.length > 24 ? `${name.slice(0, 23)}…` : name),
      rect({ x: left, y, width: totalBytes * scale, height }, 'var(--card)', '', 'stroke="var(--line)"'),
      ...bars,
    ]
  })
  return figure(
    svg(width, 8 + rows.length * (height + 5), 'Memory of each accelerator', body.join('')),
    key(kinds.map((name, at) => [name, colour(at)])),
  )
}
