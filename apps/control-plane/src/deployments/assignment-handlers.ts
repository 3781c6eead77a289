import type { Handlers, Routes } from '@deos/api'
import type { MachineId } from '@deos/domain'
import type { Timers } from '@deos/transport'
import type { Caller } from '../http/caller.ts'
import type { Assignments } from './assignments.ts'
import type { DeploymentLog } from './deployment-log.ts'
import { latest } from './latest.ts'

export interface AssignmentHandlerParts {
  readonly log: DeploymentLog
  readonly assignments: Assignments
  readonly timers: Timers
  /** A process of a machine does not follow any more. */
  readonly onBroken: (machine: MachineId, incarnation: number) => void
}

/** What belongs together comes within it. */
const gapMs = 20

export const assignmentHandlers = ({
  log,
  assignments,
  timers,
  onBroken,
}: AssignmentHandlerParts): Pick<
  Handlers<Routes, Caller>['worker'],
  'assignments' | 'followAssignments'
> => ({
  assignments(_, caller) {
    const { id, incarnation } = machineOf(caller)
    return assignments.of(id, incarnation)
  },
  async *followAssignments(_, caller) {
    const { id, incarnation } = machineOf(caller)
    let told = -1
    const isNew = () => log.assignmentsVersion(id) !== told
    // Every machine follows, and few changes are about it.
    const onChange = (listener: () => void) => log.onChange(() => isNew() && listener())
    const watch = { onChange, timers, signal: caller.signal, gapMs, idleMs: null }
    const read = () => (isNew() ? assignments.of(id, incarnation) : null)
    try {
      for await (const data of latest(watch, async () => read())) {
        told = data.version
        yield { id: String(data.version), data }
      }
    } finally {
      onBroken(id, incarnation)
    }
  },
})

function machineOf({ machine }: Caller): NonNullable<Caller['machine']> {
  if (machine === null) throw new Error('The caller is no machine.')
  return machine
}
