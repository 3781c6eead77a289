import type { MachineId } from '@deos/domain'
import { checkDigest, checkInteger, checkText } from './field-checks.ts'
import type { FleetContext, JoinMachine } from './fleet-commands.ts'
import { FleetError } from './fleet-error.ts'
import type { FleetEvent, MachineJoined } from './fleet-events.ts'
import type { FleetState } from './fleet-state.ts'
import { checkLocation } from './inventory.ts'
import { assertUsable, type JoinToken } from './join-token.ts'
import { type Machine, sentence } from './machine.ts'
import { type Handshake, shakeHands } from './version-policy.ts'

/** What a process names as `after` when it joins: the incarnation its key has reached, 0 if it never joined. */
export function incarnationOf(state: FleetState, fingerprint: string): number {
  const id = state.byFingerprint.get(fingerprint)
  return id === undefined ? 0 : state.machines.get(id)!.incarnation
}

export function joinMachine(
  state: FleetState,
  raw: JoinMachine,
  context: FleetContext,
): readonly FleetEvent[] {
  const command = checkJoin(raw)
  const handshake = shakeHands(context.versions, command.software)
  const id = state.byFingerprint.get(command.fingerprint)
  if (id === undefined) return firstJoin(state, command, handshake, context)
  const machine = state.machines.get(id)!
  assertSameOrganisation(state, command, machine)
  if (machine.process === command.process && machine.presence.online) return []
  if (machine.process === command.process && machine.presence.resumable) {
    return resumed(machine, command, context)
  }
  assertInTime(machine, command)
  if (machine.removal !== null) return joinAfterRemoval(state, command, machine, handshake, context)
  return [joined(command, machine, null, handshake, context), ...versionEvents(machine, handshake, context)]
}

function checkJoin(command: JoinMachine): JoinMachine {
  return {
    ...command,
    fingerprint: checkDigest('fingerprint', command.fingerprint),
    process: checkText('process', command.process, 64),
    after: checkInteger('after', command.after, 0, Number.MAX_SAFE_INTEGER),
    name: checkText('name', command.name, 63),
    location: checkLocation(command.location),
  }
}

/** Strangers of a version that does not fit leave no trace: there would be nothing to do about them here. */
function firstJoin(
  state: FleetState,
  command: JoinMachine,
  handshake: Handshake,
  context: FleetContext,
): readonly FleetEvent[] {
  if (command.after !== 0) {
    throw new FleetError(
      'JOIN_STALE',
      `This key never joined, but its join follows incarnation ${command.after}.`,
    )
  }
  const token = usableToken(state, command, context)
  if (handshake.protocol === null) {
    throw new FleetError('MACHINE_VERSION', `${handshake.problem}.`, handshake.remedy)
  }
  const id = context.ids.next('machine') as MachineId
  if (state.machines.has(id)) throw new Error(`The source of ids gave ${id} twice.`)
  const { organisation } = token
  return [joined(command, { id, organisation, incarnation: 0 }, token.id, handshake, context)]
}

function joinAfterRemoval(
  state: FleetState,
  command: JoinMachine,
  machine: Machine,
  handshake: Handshake,
  context: FleetContext,
): readonly FleetEvent[] {
  if (command.token === null) {
    throw new FleetError(
      'MACHINE_REMOVED',
      `${machine.id} was removed: ${sentence(machine.removal!.reason)} It came without a join token.`,
    )
  }
  const token = usableToken(state, command, context)
  // Else the next start of a service that has its token configured would undo the removal.
  if (token.createdAtMs < machine.removal!.atMs) {
    throw new FleetError(
      'MACHINE_REMOVED',
      `${machine.id} was removed after join token ${token.id} was made: ${sentence(machine.removal!.reason)}`,
    )
  }
  if (handshake.protocol === null) {
    throw new FleetError('MACHINE_VERSION', `${handshake.problem}.`, handshake.remedy)
  }
  return [
    joined(command, machine, token.id, handshake, context),
    ...versionEvents(machine, handshake, context),
  ]
}

function usableToken(state: FleetState, { token }: JoinMachine, { nowMs }: FleetContext): JoinToken {
  if (token === null) {
    throw new FleetError(
      'TOKEN_MISSING',
      'This machine has not joined before, and came without a join token.',
    )
  }
  const known = state.tokens.get(token.id)
  if (known === undefined || known.secretDigest !== token.secretDigest) {
    // The same for both: who guesses learns nothing.
    throw new FleetError('TOKEN_UNKNOWN', 'The join token is not one of this control plane.')
  }
  assertUsable(known, nowMs)
  return known
}

/** A token is not needed by a known machine, but one of somebody else shows that something is mistaken. */
function assertSameOrganisation(state: FleetState, { token }: JoinMachine, machine: Machine): void {
  const known = token === null ? undefined : state.tokens.get(token.id)
  if (known === undefined || known.secretDigest !== token!.secretDigest) return
  if (known.organisation === machine.organisation) return
  throw new FleetError(
    'MACHINE_ORGANISATION',
    `This key belongs to machine ${machine.id} of another organisation than the token.`,
  )
}

function assertInTime(machine: Machine, { after }: JoinMachine): void {
  if (after === machine.incarnation) return
  throw new FleetError(
    'JOIN_STALE',
    `This join follows incarnation ${after}, but ${machine.id} is at ${machine.incarnation}: another process joined meanwhile.`,
  )
}

/** The same process again, after its lease ran out; a late copy of its first join proves nothing. */
function resumed(machine: Machine, { after }: JoinMachine, { nowMs }: FleetContext): readonly FleetEvent[] {
  const { id, incarnation } = machine
  if (after !== incarnation) return []
  return [{ type: 'machineReturned', atMs: nowMs, machine: id, incarnation }]
}

function joined(
  command: JoinMachine,
  machine: Pick<Machine, 'id' | 'organisation' | 'incarnation'>,
  token: string | null,
  { protocol }: Handshake,
  { nowMs }: FleetContext,
): MachineJoined {
  const { fingerprint, name, location, software, process } = command
  const { id, organisation, incarnation } = machine
  return {
    type: 'machineJoined',
    atMs: nowMs,
    machine: id,
    organisation,
    fingerprint,
    name,
    location: { region: location.region, provider: location.provider },
    software: {
      version: software.version,
      protocol: { min: software.protocol.min, max: software.protocol.max },
    },
    protocol,
    incarnation: incarnation + 1,
    process,
    token,
  }
}

/** Known machines are not turned away for their version, so that people see what they wait for. */
function versionEvents(
  machine: Machine,
  handshake: Handshake,
  { nowMs }: FleetContext,
): readonly FleetEvent[] {
  const quarantined = machine.quarantines.find(({ cause }) => cause === 'version')
  const event = { atMs: nowMs, machine: machine.id } as const
  if (handshake.protocol !== null) {
    if (quarantined === undefined) return []
    const reason = 'It came back with a version that fits.'
    return [{ type: 'quarantineReleased', ...event, causes: ['version'], reason }]
  }
  const reason = `${handshake.problem}. ${handshake.remedy}`
  if (quarantined?.reason === reason) return []
  return [{ type: 'machineQuarantined', ...event, cause: 'version', reason }]
}
