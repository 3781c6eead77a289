import type { MachineId } from '@deos/domain'
import { checkText } from './field-checks.ts'
import { FleetError } from './fleet-error.ts'
import type { FleetState } from './fleet-state.ts'
import { type Machine, sentence } from './machine.ts'

/** @throws FleetError if there was never such a machine */
export function machineOf(state: FleetState, id: MachineId): Machine {
  const machine = state.machines.get(id)
  if (machine !== undefined) return machine
  throw new FleetError('MACHINE_UNKNOWN', `There is no machine ${checkText('machine', id, 200)}.`)
}

/** @throws FleetError if the machine was removed */
export function assertKept({ id, removal }: Machine): void {
  if (removal === null) return
  throw new FleetError('MACHINE_REMOVED', `${id} was removed: ${sentence(removal.reason)}`)
}
