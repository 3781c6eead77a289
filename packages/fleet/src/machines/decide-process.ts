import { checkBenchmark, implausibilities } from './benchmark.ts'
import { checkInteger, checkReason } from './field-checks.ts'
import type {
  FleetContext,
  Heartbeat,
  LeaveMachine,
  ProcessCommand,
  ReportBenchmark,
  ReportInventory,
} from './fleet-commands.ts'
import { FleetError } from './fleet-error.ts'
import type { FleetEvent } from './fleet-events.ts'
import type { FleetState } from './fleet-state.ts'
import { checkInventory, sameHardware, sameReport } from './inventory.ts'
import { type Machine, sentence } from './machine.ts'
import { assertKept, machineOf } from './machine-lookup.ts'

export function reportInventory(
  state: FleetState,
  command: ReportInventory,
  { nowMs }: FleetContext,
): readonly FleetEvent[] {
  const machine = reportingMachine(state, command)
  const inventory = checkInventory(command.inventory)
  const { inventory: before, incarnation } = machine
  if (machine.inventoryIncarnation === incarnation && sameReport(before, inventory)) return []
  const hardwareChanged = before === null || !sameHardware(before, inventory)
  const event = { atMs: nowMs, machine: machine.id }
  return [{ type: 'inventoryReported', ...event, incarnation, inventory, hardwareChanged }]
}

export function reportBenchmark(
  state: FleetState,
  command: ReportBenchmark,
  { nowMs }: FleetContext,
): readonly FleetEvent[] {
  const machine = reportingMachine(state, command)
  if (machine.inventory === null || machine.inventoryIncarnation !== machine.incarnation) {
    throw new FleetError(
      'MACHINE_NOT_READY',
      `${machine.id} sent a benchmark, but incarnation ${machine.incarnation} has not reported its inventory.`,
      'Report the inventory first.',
    )
  }
  const benchmark = checkBenchmark(command.benchmark, machine.inventory)
  const event = { atMs: nowMs, machine: machine.id }
  const problems = implausibilities(benchmark, machine.inventory)
  if (problems.length === 0) {
    return sameReport(machine.benchmark, benchmark)
      ? []
      : [{ type: 'benchmarkReported', ...event, benchmark }]
  }
  const reason = `Its benchmark cannot be true. ${problems.join('; ')}.`
  if (machine.quarantines.some((quarantine) => quarantine.cause === 'benchmark')) return []
  return [{ type: 'machineQuarantined', ...event, cause: 'benchmark', reason }]
}

export function heartbeat(
  state: FleetState,
  command: Heartbeat,
  { nowMs }: FleetContext,
): readonly FleetEvent[] {
  const { id, incarnation, presence } = currentMachine(state, command)
  return presence.online ? [] : [{ type: 'machineReturned', atMs: nowMs, machine: id, incarnation }]
}

export function leave(
  state: FleetState,
  command: LeaveMachine,
  { nowMs }: FleetContext,
): readonly FleetEvent[] {
  const reason = checkReason(command.reason)
  const { id, incarnation, presence } = presentMachine(state, command)
  if (!presence.resumable) return []
  const event = { atMs: nowMs, machine: id, incarnation }
  return [{ type: 'machineWentOffline', ...event, cause: 'goodbye', reason: `It left: ${reason}` }]
}

/** The machine, if the command comes from its latest process. */
function presentMachine(state: FleetState, command: ProcessCommand): Machine {
  const machine = machineOf(state, command.machine)
  const { id, incarnation } = machine
  checkInteger('incarnation', command.incarnation, 1, Number.MAX_SAFE_INTEGER)
  if (command.incarnation < incarnation) {
    throw new FleetError(
      'MACHINE_FENCED',
      `Incarnation ${command.incarnation} of ${id} is fenced: another process with the same key joined as incarnation ${incarnation}.`,
    )
  }
  assertKept(machine)
  if (command.incarnation > incarnation) {
    throw new FleetError(
      'MACHINE_REJOIN',
      `${id} is at incarnation ${incarnation} here; ${command.incarnation} is not known.`,
    )
  }
  return machine
}

/** As {@link presentMachine}; after its goodbye a process is heard only if it joins again. */
function currentMachine(state: FleetState, command: ProcessCommand): Machine {
  const machine = presentMachine(state, command)
  const { id, incarnation, presence } = machine
  if (presence.online || presence.resumable) return machine
  throw new FleetError(
    'MACHINE_REJOIN',
    `Incarnation ${incarnation} of ${id} has left. ${sentence(presence.reason)}`,
  )
}

function reportingMachine(state: FleetState, command: ReportInventory | ReportBenchmark): Machine {
  const machine = currentMachine(state, command)
  const { id, presence, protocol, quarantines } = machine
  if (!presence.online) {
    throw new FleetError('MACHINE_OFFLINE', `${id} counts as offline: ${sentence(presence.reason)}`)
  }
  if (protocol !== null) return machine
  const { reason } = quarantines.find(({ cause }) => cause === 'version')!
  throw new FleetError('MACHINE_VERSION', reason)
}
