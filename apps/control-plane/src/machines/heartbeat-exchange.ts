import { type MachineId, machineId, ms } from '@deos/domain'
import type { Lease, Leases } from '@deos/fleet'
import { and, gt, inArray, ne, sql } from 'drizzle-orm'
import type { Database, Queries } from '../database/database.ts'
import { leases as leaseTable, machineReports } from '../database/schema/index.ts'
import {
  isLater,
  type MachineLoad,
  type MachineReport,
  type MachineReports,
  type StageReport,
} from './machine-reports.ts'

export interface ExchangeSettings {
  /** Names this control plane among those that share the database. */
  readonly self: string
  /** Leases are stored this often: others are to see them well before they run out. */
  readonly leasesEveryMs: number
  /** Reports that only differ in figures are stored this often. */
  readonly reportsEveryMs: number
}

/** What nobody has renewed for so long is of no interest, whatever clocks say. */
const deadAfterMs = 60_000
/** The embedded database does nothing else meanwhile. */
const rowsAtOnce = 100

/**
 * Stores the leases and reports that this control plane heard, many in one statement, and takes over those that others
 * heard. A lease of theirs that has moved since it was last looked at counts as renewed now, so that their clocks do
 * not matter.
 */
export class HeartbeatExchange {
  readonly #heard = new Set<MachineId>()
  #leasesStoredAtMs = Number.NEGATIVE_INFINITY

  constructor(
    private readonly settings: ExchangeSettings,
    private readonly database: Database,
    private readonly leases: Leases,
    private readonly reports: MachineReports,
  ) {}

  /** All that is stored, as it is: nothing expires in the grace period that follows. */
  async load(nowMs: number): Promise<void> {
    for (const row of await this.database.queries.select().from(leaseTable)) this.leases.merge(leaseOf(row))
    for (const row of await this.database.queries.select().from(machineReports)) {
      this.reports.merge(reportOf(row), nowMs)
    }
  }

  /** This control plane has renewed the machine's lease. */
  heard(machine: MachineId): void {
    this.#heard.add(machine)
  }

  async store(nowMs: number, everything = false): Promise<void> {
    if (everything || nowMs - this.#leasesStoredAtMs >= this.settings.leasesEveryMs) {
      await this.#storeLeases()
      this.#leasesStoredAtMs = nowMs
    }
    const due = this.reports.unstored(nowMs, everything ? 0 : this.settings.reportsEveryMs)
    for (let first = 0; first < due.length; first += rowsAtOnce) {
      const some = due.slice(first, first + rowsAtOnce)
      await storeReports(this.database.queries, some, this.settings.self)
      this.reports.stored(some)
    }
  }

  /** True if stages of a machine are not as they were. */
  async merge(nowMs: number): Promise<boolean> {
    const { queries } = this.database
    const others = and(
      ne(leaseTable.heardBy, this.settings.self),
      gt(leaseTable.renewedAt, new Date(nowMs - deadAfterMs)),
    )
    for (const row of await queries.select().from(leaseTable).where(others)) {
      this.leases.merge({ ...leaseOf(row), renewedAtMs: ms(nowMs) })
    }
    return this.#mergeReports(nowMs)
  }

  async #mergeReports(nowMs: number): Promise<boolean> {
    const { queries } = this.database
    const others = await queries
      .select({
        machine: machineReports.machineId,
        incarnation: machineReports.incarnation,
        sequence: machineReports.sequence,
      })
      .from(machineReports)
      .where(
        and(
          ne(machineReports.heardBy, this.settings.self),
          gt(machineReports.reportedAt, new Date(nowMs - deadAfterMs)),
        ),
      )
    const news = others
      .filter((row) => {
        const known = this.reports.of(machineId(row.machine))
        return known === null || isLater(row, known)
      })
      .map(({ machine }) => machine)
    if (news.length === 0) return false
    let changed = false
    for (const row of await queries
      .select()
      .from(machineReports)
      .where(inArray(machineReports.machineId, news))) {
      // As with leases: by this clock.
      if (this.reports.merge({ ...reportOf(row), reportedAtMs: nowMs }, nowMs)) changed = true
    }
    return changed
  }

  async #storeLeases(): Promise<void> {
    const heard = [...this.#heard]
    if (heard.length === 0) return
    this.#heard.clear()
    const wanted = new Set(heard)
    const due = this.leases.list().filter(({ machine }) => wanted.has(machine))
    try {
      for (let first = 0; first < due.length; first += rowsAtOnce) {
        await storeLeases(this.database.queries, due.slice(first, first + rowsAtOnce), this.settings.self)
      }
    } catch (error) {
      for (const machine of heard) this.#heard.add(machine)
      throw error
    }
  }
}

const leaseOf = (row: typeof leaseTable.$inferSelect): Lease => ({
  machine: machineId(row.machineId),
  incarnation: row.incarnation,
  sequence: row.sequence,
  renewedAtMs: ms(row.renewedAt.getTime()),
  durationMs: ms(row.durationMs),
})

const reportOf = (row: typeof machineReports.$inferSelect): MachineReport => ({
  machine: machineId(row.machineId),
  incarnation: row.incarnation,
  sequence: row.sequence,
  assignmentsVersion: row.assignmentsVersion,
  load: row.load as MachineLoad,
  stages: row.stages as readonly StageReport[],
  reportedAtMs: row.reportedAt.getTime(),
})

/** Rows are locked in one order, so that control planes which store at once do not wait for each other in a circle. */
async function storeLeases(queries: Queries, leases: readonly Lease[], self: string): Promise<void> {
  const rows = leases.map(({ machine, incarnation, sequence, renewedAtMs, durationMs }) => ({
    machine,
    incarnation,
    sequence,
    at: renewedAtMs / 1000,
    duration_ms: durationMs,
  }))
  await queries.execute(sql`
    insert into leases (machine_id, incarnation, sequence, renewed_at, duration_ms, heard_by)
    select machine, incarnation, sequence, to_timestamp(at), duration_ms, ${self}
    from json_to_recordset(${JSON.stringify(rows)}::json)
      as stored(machine text, incarnation int, sequence bigint, at double precision, duration_ms int)
    order by machine
    on conflict (machine_id) do update set
      incarnation = excluded.incarnation, sequence = excluded.sequence,
      renewed_at = excluded.renewed_at, duration_ms = excluded.duration_ms, heard_by = excluded.heard_by
    where (excluded.incarnation, excluded.sequence) > (leases.incarnation, leases.sequence)`)
}

async function storeReports(
  queries: Queries,
  reports: readonly MachineReport[],
  self: string,
): Promise<void> {
  const rows = reports.map(({ assignmentsVersion, reportedAtMs, ...report }) => ({
    ...report,
    assignments_version: assignmentsVersion,
    at: reportedAtMs / 1000,
  }))
  await queries.execute(sql`
    insert into machine_reports
      (machine_id, incarnation, sequence, load, stages, assignments_version, reported_at, heard_by)
    select machine, incarnation, sequence, load, stages, assignments_version, to_timestamp(at), ${self}
    from json_to_recordset(${JSON.stringify(rows)}::json) as stored(
      machine text, incarnation int, sequence bigint, load jsonb, stages jsonb,
      assignments_version bigint, at double precision)
    order by machine
    on conflict (machine_id) do update set
      incarnation = excluded.incarnation, sequence = excluded.sequence, load = excluded.load,
      stages = excluded.stages, assignments_version = excluded.assignments_version,
      reported_at = excluded.reported_at, heard_by = excluded.heard_by
    where (excluded.incarnation, excluded.sequence) > (machine_reports.incarnation, machine_reports.sequence)`)
}
