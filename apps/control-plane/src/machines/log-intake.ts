import { ProblemError, type RequestOf, type Routes } from '@deos/api'
import type { MachineId, OrganisationId } from '@deos/domain'
import type { Database } from '../database/database.ts'
import { logLines } from '../database/schema/index.ts'
import type { PlacedStages } from './placed-stages.ts'

type Lines = RequestOf<Routes['worker']['logs']>['body']['lines']

const linesPerSecond = 100
const burstLines = 2_000
/** Machines' clocks are believed this far back, and never ahead. */
const believedBackMs = 60 * 60_000

interface Allowance {
  lines: number
  atMs: number
}

/** Log lines of machines on their way into the database. */
export class LogIntake {
  readonly #allowances = new Map<MachineId, Allowance>()

  constructor(
    private readonly database: Database,
    private readonly placed: PlacedStages,
  ) {}

  /** @throws ProblemError if the machine writes more than it may */
  async write(organisation: OrganisationId, machine: MachineId, lines: Lines, nowMs: number): Promise<void> {
    this.#take(machine, lines.length, nowMs)
    const rows = lines.map(({ at, level, stageId, message }) => {
      // Lines about stages that lie elsewhere are nobody's but the machine's.
      const stage = stageId === null ? null : this.placed.find(stageId)
      const own = stage?.machine === machine ? stage : null
      return {
        organisationId: organisation,
        deploymentId: own?.deploymentId ?? null,
        replicaId: own?.replicaId ?? null,
        stageId,
        machineId: machine,
        level,
        // PostgreSQL's text cannot hold it.
        message: message.replaceAll('\0', '\ufffd'),
        at: new Date(Math.min(nowMs, Math.max(nowMs - believedBackMs, Date.parse(at)))),
      }
    })
    await this.database.transaction(async (queries) => {
      await queries.insert(logLines).values(rows)
      await this.database.notify(queries, 'logs')
    })
  }

  forget(machine: MachineId): void {
    this.#allowances.delete(machine)
  }

  #take(machine: MachineId, count: number, nowMs: number): void {
    const allowance = this.#allowances.get(machine) ?? { lines: burstLines, atMs: nowMs }
    this.#allowances.set(machine, allowance)
    const gained = (Math.max(0, nowMs - allowance.atMs) / 1000) * linesPerSecond
    allowance.lines = Math.min(burstLines, allowance.lines + gained)
    allowance.atMs = nowMs
    if (allowance.lines < count) {
      const retryAfterMs = Math.ceil(((count - allowance.lines) / linesPerSecond) * 1000)
      throw new ProblemError(
        'rate-limited',
        `${machine} sent ${count} more log lines, but a machine may write ${linesPerSecond} a second.`,
        { retryAfterMs, hint: 'Send fewer lines, or raise the level from which lines are sent.' },
      )
    }
    allowance.lines -= count
  }
}
