import { ProblemError, ValidationError } from '@deos/api'
import type { MachineId } from '@deos/domain'
import type { FleetState, Machine } from '@deos/fleet'
import { type Caller, organisationOf } from '../http/caller.ts'

/** @throws ProblemError if the caller's organisation has no such machine */
export function machineOf(state: FleetState, id: MachineId, caller: Caller): Machine {
  const machine = state.machines.get(id)
  if (machine?.organisation === organisationOf(caller) && machine.removal === null) return machine
  throw new ProblemError('not-found', `There is no machine ${id}.`, {
    hint: 'Look its id up in the list of machines; removed ones are not in it.',
  })
}

/**
 * The machine that asks.
 *
 * @param incarnation - that it takes itself for
 * @throws ValidationError if its credential is that of another incarnation
 */
export function askingMachine(caller: Caller, incarnation: number): MachineId {
  const { machine } = caller
  if (machine === null) throw new Error('A route of machines was called by somebody else.')
  if (machine.incarnation === incarnation) return machine.id
  throw new ValidationError([
    {
      in: 'body',
      field: 'incarnation',
      message: `must be ${machine.incarnation}, as the credential is of that incarnation`,
    },
  ])
}
