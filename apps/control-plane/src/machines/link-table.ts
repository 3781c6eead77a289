import { bytesPerSecond, type Link, type MachineId, machineId, ms } from '@deos/domain'
import { eq, gt, or, sql } from 'drizzle-orm'
import type { Database, Queries } from '../database/database.ts'
import { links } from '../database/schema/index.ts'

export interface MeasuredLink extends Link {
  readonly measuredAtMs: number
}

/** Clocks of control planes may differ by so much. */
const overlapMs = 5_000
/** The embedded database does nothing else meanwhile. */
const rowsAtOnce = 200

/** Links between machines as they were measured last. */
export class LinkTable {
  readonly #links = new Map<MachineId, Map<MachineId, MeasuredLink>>()
  #version = 0
  #readUntilMs = Number.NEGATIVE_INFINITY
  #all: readonly MeasuredLink[] | null = null
  readonly #unstored = new Set<MeasuredLink>()

  constructor(private readonly database: Database) {}

  /** Grows with every change. */
  get version(): number {
    return this.#version
  }

  all(): readonly MeasuredLink[] {
    this.#all ??= [...this.#links.values()].flatMap((targets) => [...targets.values()])
    return this.#all
  }

  /** By where they lead. */
  from(machine: MachineId): ReadonlyMap<MachineId, MeasuredLink> | null {
    return this.#links.get(machine) ?? null
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

  /** Known at once; kept from the next {@link store} on. */
  measured(from: MachineId, targets: readonly Omit<Link, 'from'>[], nowMs: number): void {
    for (const target of targets) {
      const link = { from, ...target, measuredAtMs: nowMs }
      const before = this.between(from, target.to)
      if (!this.#set(link)) continue
      if (before !== null) this.#unstored.delete(before)
      this.#unstored.add(link)
    }
  }

  /** Stores what was measured since the last time; what fails is tried again with the next. */
  async store(): Promise<void> {
    if (this.#unstored.size === 0) return
    const due = [...this.#unstored]
    for (let first = 0; first < due.length; first += rowsAtOnce) {
      const some = due.slice(first, first + rowsAtOnce)
      await storeLinks(this.database.queries, some)
      for (const link of some) this.#unstored.delete(link)
    }
  }

  /** @param queries - of the transaction that removes the machine */
  async remove(queries: Queries, machine: MachineId): Promise<void> {
    this.#forget(machine)
    await queries.delete(links).where(or(eq(links.from, machine), eq(links.to, machine)))
  }

  #forget(machine: MachineId): void {
    this.#links.delete(machine)
    for (const targets of this.#links.values()) targets.delete(machine)
    for (const link of this.#unstored) {
      if (link.from === machine || link.to === machine) this.#unstored.delete(link)
    }
    this.#all = null
    this.#version += 1
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

/** Rows are locked in one order, so that control planes which store at once do not wait for each other in a circle. */
async function storeLinks(queries: Queries, measured: readonly MeasuredLink[]): Promise<void> {
  const rows = measured.map(({ from, to, roundTripMs, bytesPerSecond, measuredAtMs }) => ({
    ...{ from, to, round_trip: roundTripMs, speed: bytesPerSecond, at: measuredAtMs / 1000 },
  }))
  await queries.execute(sql`
    insert into links (from_machine, to_machine, round_trip_ms, bytes_per_second, measured_at)
    select "from", "to", round_trip, speed, to_timestamp(at)
    from json_to_recordset(${JSON.stringify(rows)}::json) as measured(
      "from" text, "to" text, round_trip double precision, speed double precision, at double precision)
    order by "from", "to"
    on conflict (from_machine, to_machine) do update set
      round_trip_ms = excluded.round_trip_ms, bytes_per_second = excluded.bytes_per_second,
      measured_at = excluded.measured_at
    where excluded.measured_at > links.measured_at`)
}

const measuredLink = (row: typeof links.$inferSelect): MeasuredLink => ({
  from: machineId(row.from),
  to: machineId(row.to),
  roundTripMs: ms(row.roundTripMs),
  bytesPerSecond: bytesPerSecond(row.bytesPerSecond),
  measuredAtMs: row.measuredAt.getTime(),
})
