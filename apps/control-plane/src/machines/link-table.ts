import { bytesPerSecond, type Link, type MachineId, machineId, ms } from '@deos/domain'
import { eq, gt, or, sql } from 'drizzle-orm'
import type { Database, Queries } from '../database/database.ts'
import { links } from '../database/schema/index.ts'

export interface MeasuredLink extends Link {
  readonly measuredAtMs: number
}

/** Clocks of control planes may differ by so much. */
const overlapMs = 5_000

/** Links between machines as they were measured last. */
export class LinkTable {
  readonly #links = new Map<MachineId, Map<MachineId, MeasuredLink>>()
  #version = 0
  #readUntilMs = Number.NEGATIVE_INFINITY
  #all: readonly MeasuredLink[] | null = null

  constructor(private readonly database: Database) {}

  /** Grows with every change. */
  get version(): number {
    return this.#version
  }

  all(): readonly MeasuredLink[] {
    this.#all ??= [...this.#links.values()].flatMap((targets) => [...targets.values()])
    return this.#all
  }

  between(from: MachineId, to: MachineId): MeasuredLink | null {
    return this.#links.get(from)?.get(to) ?? null
  }

  /** From and to the machine. */
  of(machine: MachineId): readonly MeasuredLink[] {
    return this.all().filter(({ from, to }) => from === machine || to === machine)
  }

  /** Reads what has been measured since the last time; true if something has. */
  async refresh(): Promise<boolean> {
    const rows = await this.database.queries
      .select()
      .from(links)
      .where(
        this.#readUntilMs === Number.NEGATIVE_INFINITY
          ? undefined
          : gt(links.measuredAt, new Date(this.#readUntilMs - overlapMs)),
      )
    let changed = false
    for (const row of rows) {
      if (this.#set(measuredLink(row))) changed = true
      this.#readUntilMs = Math.max(this.#readUntilMs, row.measuredAt.getTime())
    }
    return changed
  }

  async measured(from: MachineId, targets: readonly Omit<Link, 'from'>[], now: Date): Promise<void> {
    if (targets.length === 0) return
    const rows = targets.map((target) => ({ from, ...target, measuredAt: now }))
    await this.database.queries
      .insert(links)
      .values(rows)
      .onConflictDoUpdate({
        target: [links.from, links.to],
        set: {
          roundTripMs: sql`excluded.round_trip_ms`,
          bytesPerSecond: sql`excluded.bytes_per_second`,
          measuredAt: sql`excluded.measured_at`,
        },
      })
    for (const row of rows) this.#set(measuredLink(row))
  }

  /** @param queries - of the transaction that removes the machine */
  async remove(queries: Queries, machine: MachineId): Promise<void> {
    await queries.delete(links).where(or(eq(links.from, machine), eq(links.to, machine)))
  }

  #set(link: MeasuredLink): boolean {
    const known = this.between(link.from, link.to)
    if (known !== null && known.measuredAtMs >= link.measuredAtMs) return false
    let targets = this.#links.get(link.from)
    if (targets === undefined) {
      targets = new Map()
      this.#links.set(link.from, targets)
    }
    targets.set(link.to, link)
    this.#all = null
    this.#version += 1
    return true
  }
}

const measuredLink = (row: typeof links.$inferSelect): MeasuredLink => ({
  from: machineId(row.from),
  to: machineId(row.to),
  roundTripMs: ms(row.roundTripMs),
  bytesPerSecond: bytesPerSecond(row.bytesPerSecond),
  measuredAtMs: row.measuredAt.getTime(),
})
