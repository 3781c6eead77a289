import { createHash } from 'node:crypto'
import type { RequestOf, Routes } from '@deos/api'
import type { MachineId } from '@deos/domain'

export type Heartbeat = RequestOf<Routes['worker']['heartbeat']>['body']
export type MachineLoad = Heartbeat['load']
export type StageReport = Heartbeat['stages'][number]

/** What a machine said last of what it does. */
export interface MachineReport {
  readonly machine: MachineId
  readonly incarnation: number
  /** Of the heartbeat that brought it. */
  readonly sequence: number
  /** Of the assignments that the machine had seen last. */
  readonly assignmentsVersion: number
  readonly load: MachineLoad
  readonly stages: readonly StageReport[]
  readonly reportedAtMs: number
}

interface Known {
  report: MachineReport
  /** Null until somebody asks, see {@link stagesMark}. */
  mark: string | null
  /** Mark that was dealt with. */
  settledMark: string | null
  storedMark: string | null
  /** When it was written to the database, or read from it. */
  storedAtMs: number
}

/** The latest report of each machine, whichever control plane it came to. */
export class MachineReports {
  readonly #known = new Map<MachineId, Known>()

  of(machine: MachineId): MachineReport | null {
    return this.#known.get(machine)?.report ?? null
  }

  /** False, without any effect, if a later one is known. */
  take(report: MachineReport): boolean {
    const known = this.#known.get(report.machine)
    if (known === undefined) {
      const nothing = {
        mark: null,
        settledMark: null,
        storedMark: null,
        storedAtMs: Number.NEGATIVE_INFINITY,
      }
      this.#known.set(report.machine, { report, ...nothing })
      return true
    }
    if (!isLater(report, known.report)) return false
    known.report = report
    known.mark = null
    return true
  }

  /** What another control plane wrote; true if its stages are not as they were. */
  merge(report: MachineReport, nowMs: number): boolean {
    const before = this.#known.get(report.machine)
    const markBefore = before === undefined ? null : markOf(before)
    if (!this.take(report)) return false
    const known = this.#known.get(report.machine)!
    known.storedMark = markOf(known)
    known.storedAtMs = nowMs
    return markOf(known) !== markBefore
  }

  /** Whether anything in its stages differs from what {@link settle} was told last. */
  isUnsettled(machine: MachineId): boolean {
    const known = this.#known.get(machine)!
    return markOf(known) !== known.settledMark
  }

  settle({ machine, ...report }: MachineReport): void {
    const known = this.#known.get(machine)
    if (known !== undefined) known.settledMark = stagesMark(report)
  }

  /** Those to be stored now: with other stages than are stored, or stored long ago. */
  unstored(nowMs: number, maxAgeMs: number): readonly MachineReport[] {
    const due: MachineReport[] = []
    for (const known of this.#known.values()) {
      if (known.report.reportedAtMs <= known.storedAtMs) continue
      if (nowMs - known.storedAtMs >= maxAgeMs || markOf(known) !== known.storedMark) due.push(known.report)
    }
    return due
  }

  stored(reports: readonly MachineReport[]): void {
    for (const report of reports) {
      const known = this.#known.get(report.machine)
      if (known === undefined) continue
      known.storedMark = stagesMark(report)
      known.storedAtMs = report.reportedAtMs
    }
  }

  forget(machine: MachineId): void {
    this.#known.delete(machine)
  }
}

export const isLater = (
  a: { readonly incarnation: number; readonly sequence: number },
  b: { readonly incarnation: number; readonly sequence: number },
): boolean => a.incarnation > b.incarnation || (a.incarnation === b.incarnation && a.sequence > b.sequence)

function markOf(known: Known): string {
  known.mark ??= stagesMark(known.report)
  return known.mark
}

/**
 * Alike for reports from which nothing new follows for deployments: the same process with the same stages in the same
 * states, at the same whole percent and addresses, having seen the same assignments.
 */
export function stagesMark({
  incarnation,
  assignmentsVersion,
  stages,
}: Pick<MachineReport, 'incarnation' | 'assignmentsVersion' | 'stages'>): string {
  let text = `${incarnation} ${assignmentsVersion}`
  for (const { stageId, generation, state, loadedFraction, linkAddress, problem } of stages) {
    const percent = Math.floor(loadedFraction * 100)
    text += `\n${stageId} ${generation} ${state} ${percent} ${linkAddress} ${problem === null ? '' : digestOf(problem)}`
  }
  return text
}

const digestOf = (text: string): string => createHash('sha1').update(text).digest('base64')
