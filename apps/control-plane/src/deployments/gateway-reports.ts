import type { RequestOf, Routes } from '@deos/api'
import type { ReplicaId } from '@deos/domain'
import { gt } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import { gateways } from '../database/schema/index.ts'

export type GatewayReport = Omit<RequestOf<Routes['gateway']['report']>['body'], 'gateway' | 'url'>

/** A gateway that did not report for so long is gone. */
const lifeMs = 10_000
const freshMs = 800

/** What living gateways said last, read at most about once a second however many ask. */
export class GatewayReports {
  #read: { readonly atMs: number; readonly reports: Promise<readonly GatewayReport[]> } | null = null

  constructor(
    private readonly database: Database,
    private readonly now: () => Date,
  ) {}

  living(): Promise<readonly GatewayReport[]> {
    const nowMs = this.now().getTime()
    if (this.#read !== null && nowMs - this.#read.atMs < freshMs) return this.#read.reports
    const reports = this.#query(nowMs)
    this.#read = { atMs: nowMs, reports }
    reports.catch(() => {
      this.#read = null
    })
    return reports
  }

  async #query(nowMs: number): Promise<readonly GatewayReport[]> {
    const rows = await this.database.queries
      .select({ report: gateways.report })
      .from(gateways)
      .where(gt(gateways.reportedAt, new Date(nowMs - lifeMs)))
    // They were stored as their schema gave them.
    return rows.map(({ report }) => report as GatewayReport)
  }
}

/** Of one placement of a replica, in all gateways together. */
export function requestsAt(
  reports: readonly GatewayReport[],
  replica: ReplicaId,
  generation: number,
): { readonly open: number; readonly queued: number } {
  let open = 0
  let queued = 0
  for (const report of reports) {
    for (const said of report.replicas) {
      if (said.replicaId !== replica || said.generation !== generation) continue
      open += said.open
      queued += said.queued
    }
  }
  return { open, queued }
}
