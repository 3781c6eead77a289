import { checkReason } from './field-checks.ts'
import type {
  ConfirmDrained,
  CordonMachine,
  DrainMachine,
  FleetContext,
  OperatorCommand,
  QuarantineMachine,
  ReleaseFromQuarantine,
  RemoveMachine,
  UncordonMachine,
} from './fleet-commands.ts'
import { FleetError } from './fleet-error.ts'
import type { FleetEvent } from './fleet-events.ts'
import type { FleetState } from './fleet-state.ts'
import type { Machine } from './machine.ts'
import { assertKept, machineOf } from './machine-lookup.ts'

export function cordon(
  state: FleetState,
  command: CordonMachine,
  { nowMs }: FleetContext,
): readonly FleetEvent[] {
  const machine = managedMachine(state, command)
  const reason = checkReason(command.reason)
  if (machine.cordon !== null) return []
  return [{ type: 'machineCordoned', atMs: nowMs, machine: machine.id, reason }]
}

export function uncordon(
  state: FleetState,
  command: UncordonMachine,
  { nowMs }: FleetContext,
): readonly FleetEvent[] {
  const machine = managedMachine(state, command)
  const reason = checkReason(command.reason)
  if (machine.cordon === null) return []
  return [{ type: 'machineUncordoned', atMs: nowMs, machine: machine.id, reason }]
}

export function drain(
  state: FleetState,
  command: DrainMachine,
  { nowMs }: FleetContext,
): readonly FleetEvent[] {
  const machine = managedMachine(state, command)
  const reason = checkReason(command.reason)
  if (machine.drain !== null) return []
  return [{ type: 'drainStarted', atMs: nowMs, machine: machine.id, reason }]
}

export function confirmDrained(
  state: FleetState,
  command: ConfirmDrained,
  { nowMs }: FleetContext,
): readonly FleetEvent[] {
  const machine = managedMachine(state, command)
  if (machine.drain === null) return []
  assertEmpty(machine, command)
  return [{ type: 'machineDrained', atMs: nowMs, machine: machine.id }]
}

export function quarantine(
  state: FleetState,
  command: QuarantineMachine,
  { nowMs }: FleetContext,
): readonly FleetEvent[] {
  const machine = managedMachine(state, command)
  const reason = checkReason(command.reason)
  if (machine.quarantines.some(({ cause }) => cause === 'operator')) return []
  return [{ type: 'machineQuarantined', atMs: nowMs, machine: machine.id, cause: 'operator', reason }]
}

/** Whatever people may forgive; a version that does not fit is none of it. */
export function releaseFromQuarantine(
  state: FleetState,
  command: ReleaseFromQuarantine,
  { nowMs }: FleetContext,
): readonly FleetEvent[] {
  const machine = managedMachine(state, command)
  const reason = checkReason(command.reason)
  const causes = machine.quarantines.map(({ cause }) => cause).filter((cause) => cause !== 'version')
  if (causes.length > 0) {
    return [{ type: 'quarantineReleased', atMs: nowMs, machine: machine.id, causes, reason }]
  }
  const version = machine.quarantines[0]
  if (version === undefined) return []
  throw new FleetError('MACHINE_VERSION', `${machine.id} cannot be released: ${version.reason}`)
}

export function remove(
  state: FleetState,
  command: RemoveMachine,
  { nowMs }: FleetContext,
): readonly FleetEvent[] {
  const machine = machineOf(state, command.machine)
  const reason = checkReason(command.reason)
  if (machine.removal !== null) return []
  if (!command.force) assertEmpty(machine, command)
  return [{ type: 'machineRemoved', atMs: nowMs, machine: machine.id, reason }]
}

function managedMachine(state: FleetState, command: OperatorCommand): Machine {
  const machine = machineOf(state, command.machine)
  assertKept(machine)
  return machine
}

function assertEmpty({ id }: Machine, { placed }: ConfirmDrained | RemoveMachine): void {
  const stages = placed.filter(({ machine }) => machine === id)
  if (stages.length === 0) return
  const named = stages.slice(0, 3).map((stage) => stage.id)
  const more = stages.length > named.length ? ', …' : ''
  const count = stages.length === 1 ? '1 stage is' : `${stages.length} stages are`
  throw new FleetError('MACHINE_IN_USE', `${count} still placed on ${id}: ${named.join(', ')}${more}.`)
}
