import { type MachineId, ms, organisationId } from '@deos/domain'
import { expect, test } from 'vitest'
import { incarnationOf } from './decide-join.ts'
import { acme, digest, TestFleet } from './testing/test-fleet.ts'

test('a first join gives an id, an incarnation and a state with a reason', () => {
  const fleet = new TestFleet()
  const machine = fleet.join(1)
  expect(machine).toMatchObject({ organisation: acme, incarnation: 1, protocol: 3, state: 'joining' })
  expect(machine.reason).not.toBe('')
  expect(fleet.state.tokens.get(fleet.token.id)!.uses).toBe(1)
})

test('the same key keeps its id, needs no token any more and fences the process before', () => {
  const fleet = new TestFleet()
  const { id } = fleet.readyMachine(1)
  const again = fleet.join(1, { token: null })
  expect(again).toMatchObject({ id, incarnation: 2, state: 'joining' })
  expect(fleet.state.machines.size).toBe(1)
  const refusal = fleet.refusal({ type: 'heartbeat', machine: id, incarnation: 1 })
  expect(refusal).toMatchObject({ code: 'MACHINE_FENCED', retriable: false })
  expect(refusal.message).toContain('incarnation 2')
  expect(fleet.do({ type: 'heartbeat', machine: id, incarnation: 2 })).toEqual([])
})

test('a restarted machine is ready again without measuring, if its hardware is the same', () => {
  const fleet = new TestFleet()
  const { id } = fleet.readyMachine(1)
  fleet.join(1)
  expect(fleet.reportInventory(id, { hostname: 'renamed' })).toMatchObject({ state: 'ready' })
  fleet.join(1)
  expect(fleet.reportInventory(id, { cpuCores: 4 })).toMatchObject({ state: 'benchmarking', benchmark: null })
})

test('a join that comes twice is one', () => {
  const fleet = new TestFleet()
  const command = fleet.joinCommand(1)
  expect(fleet.do(command)).toHaveLength(1)
  expect(fleet.do(command)).toEqual([])
  expect(fleet.state.tokens.get(fleet.token.id)!.uses).toBe(1)
})

test('a join that comes late does not fence the process that joined meanwhile', () => {
  const fleet = new TestFleet()
  const late = fleet.joinCommand(1, { process: 'dead' })
  const { id } = fleet.join(1, { process: 'alive' })
  expect(fleet.refusal(late)).toMatchObject({ code: 'JOIN_STALE', retriable: true })
  expect(fleet.machine(id)).toMatchObject({ process: 'alive', incarnation: 1 })
  expect(fleet.refusal(fleet.joinCommand(2, { after: 3 }))).toMatchObject({ code: 'JOIN_STALE' })
})

test('a late copy of a join brings back neither who was lost nor who left', () => {
  const fleet = new TestFleet()
  const command = fleet.joinCommand(1)
  fleet.do(command)
  const [id] = [...fleet.state.machines.keys()] as [MachineId]
  fleet.lose(id)
  expect(fleet.do(command)).toEqual([])
  expect(fleet.machine(id).state).toBe('offline')
  fleet.do({ type: 'leave', machine: id, incarnation: 1, reason: 'maintenance' })
  expect(fleet.refusal(command)).toMatchObject({ code: 'JOIN_STALE' })
  expect(fleet.machine(id)).toMatchObject({ state: 'offline', reason: 'It left: maintenance.' })
})

test('a lost process that joins anew is the same incarnation; one that left is a new one', () => {
  const fleet = new TestFleet()
  const { id } = fleet.join(1, { process: 'p' })
  fleet.lose(id)
  expect(fleet.do(fleet.joinCommand(1, { process: 'p' }))).toMatchObject([{ type: 'machineReturned' }])
  fleet.do({ type: 'leave', machine: id, incarnation: 1, reason: 'maintenance' })
  expect(fleet.join(1, { process: 'p' })).toMatchObject({ id, incarnation: 2, state: 'joining' })
})

test('incarnationOf() is what a join must follow', () => {
  const fleet = new TestFleet()
  expect(incarnationOf(fleet.state, digest(1))).toBe(0)
  fleet.join(1)
  fleet.join(1)
  expect(incarnationOf(fleet.state, digest(1))).toBe(2)
})

test('tokens are needed, known, in time, unspent and unrevoked for a first join', () => {
  const fleet = new TestFleet()
  const create = (n: number, maxUses: number | null, expiresAtMs: number) => {
    const [event] = fleet.do({
      type: 'createJoinToken',
      organisation: acme,
      label: '',
      secretDigest: digest(n),
      expiresAtMs: ms(expiresAtMs),
      maxUses,
    })
    return { id: (event as { token: string }).token, secretDigest: digest(n) }
  }
  const once = create(10, 1, 1e12)
  const brief = create(11, null, fleet.nowMs + 1_500)
  const revoked = create(12, null, 1e12)
  fleet.do({ type: 'revokeJoinToken', token: revoked.id, reason: 'leaked' })
  expect(fleet.do({ type: 'revokeJoinToken', token: revoked.id, reason: 'again' })).toEqual([])
  fleet.join(1, { token: once })
  const refusals = [
    [{ token: null }, 'TOKEN_MISSING'],
    [{ token: { id: 'nothing', secretDigest: digest(1) } }, 'TOKEN_UNKNOWN'],
    [{ token: { ...fleet.token, secretDigest: digest(2) } }, 'TOKEN_UNKNOWN'],
    [{ token: once }, 'TOKEN_USED_UP'],
    [{ token: brief }, 'TOKEN_EXPIRED'],
    [{ token: revoked }, 'TOKEN_REVOKED'],
  ] as const
  for (const [changes, code] of refusals) {
    const refusal = fleet.refusal(fleet.joinCommand(2, changes))
    expect(refusal).toMatchObject({ code, retriable: false })
    expect(refusal.hint).not.toBe('')
  }
  expect(fleet.refusal({ type: 'revokeJoinToken', token: 'nothing', reason: 'x' })).toMatchObject({
    code: 'TOKEN_UNKNOWN',
  })
  // Who has joined stays a machine whatever becomes of its token.
  expect(fleet.join(1, { token: once }).incarnation).toBe(2)
})

test('a key stays with its organisation', () => {
  const fleet = new TestFleet()
  fleet.join(1)
  const [event] = fleet.do({
    type: 'createJoinToken',
    organisation: organisationId('other'),
    label: '',
    secretDigest: digest(9),
    expiresAtMs: ms(1e12),
    maxUses: null,
  })
  const token = { id: (event as { token: string }).token, secretDigest: digest(9) }
  expect(fleet.refusal(fleet.joinCommand(1, { token }))).toMatchObject({ code: 'MACHINE_ORGANISATION' })
  // Whoever does not know the secret learns nothing from it.
  expect(fleet.join(1, { token: { ...token, secretDigest: digest(8) } }).incarnation).toBe(2)
  expect(fleet.join(2, { token }).organisation).toBe('other')
})

test('strangers of a wrong version are turned away, known machines quarantined until they are updated', () => {
  const fleet = new TestFleet()
  const software = { version: '2.0.0', protocol: { min: 4, max: 5 } }
  const refusal = fleet.refusal(fleet.joinCommand(1, { software }))
  expect(refusal).toMatchObject({ code: 'MACHINE_VERSION' })
  expect(refusal.hint).toContain('Update the control plane to 2.0.0')
  expect(fleet.state.tokens.get(fleet.token.id)!.uses).toBe(0)

  const { id } = fleet.readyMachine(1)
  const refused = fleet.join(1, { software })
  expect(refused).toMatchObject({ id, state: 'quarantined', protocol: null, incarnation: 2 })
  expect(refused.reason).toContain('speaks protocol 4 to 5')
  expect(fleet.do({ type: 'heartbeat', machine: id, incarnation: 2 })).toEqual([])
  const release = { type: 'releaseFromQuarantine', machine: id, reason: 'please' } as const
  expect(fleet.refusal(release)).toMatchObject({ code: 'MACHINE_VERSION' })
  expect(() => fleet.reportInventory(id)).toThrow('speaks protocol 4 to 5')

  fleet.join(1)
  expect(fleet.reportInventory(id)).toMatchObject({ state: 'ready', quarantines: [] })
})

test('a removed machine comes back by a token made since, with its old id', () => {
  const fleet = new TestFleet()
  const { id } = fleet.readyMachine(1)
  fleet.do({ type: 'cordon', machine: id, reason: 'noisy' })
  fleet.do({ type: 'quarantine', machine: id, reason: 'lies' })
  fleet.do({ type: 'remove', machine: id, reason: 'sold', placed: [], force: false })
  expect(fleet.machine(id)).toMatchObject({ state: 'removed', reason: 'Removed: sold.' })
  expect(fleet.refusal(fleet.joinCommand(1, { token: null }))).toMatchObject({ code: 'MACHINE_REMOVED' })
  expect(fleet.refusal(fleet.joinCommand(1))).toMatchObject({ code: 'MACHINE_REMOVED' })
  expect(fleet.refusal({ type: 'heartbeat', machine: id, incarnation: 1 })).toMatchObject({
    code: 'MACHINE_REMOVED',
  })
  const [event] = fleet.do({
    type: 'createJoinToken',
    organisation: acme,
    label: '',
    secretDigest: digest(9),
    expiresAtMs: ms(1e12),
    maxUses: null,
  })
  const token = { id: (event as { token: string }).token, secretDigest: digest(9) }
  const wrong = { version: '1.0.0', protocol: { min: 3, max: 3 } }
  expect(fleet.refusal(fleet.joinCommand(1, { token, software: wrong }))).toMatchObject({
    code: 'MACHINE_VERSION',
  })
  expect(fleet.join(1, { token })).toMatchObject({ id, incarnation: 2, state: 'quarantined', cordon: null })
})

test.each([
  ['fingerprint', { fingerprint: 'ABC' }],
  ['process', { process: '' }],
  ['name', { name: 'two\nlines' }],
  ['name', { name: 'x'.repeat(64) }],
  ['after', { after: -1 }],
  ['after', { after: Number.NaN }],
  ['location.region', { location: { region: ' ', provider: 'home' } }],
  ['location.provider', { location: { region: 'eu', provider: '\u2028' } }],
  ['software.version', { software: { version: '1.4', protocol: { min: 3, max: 3 } } }],
  ['software.protocol.max', { software: { version: '1.4.0', protocol: { min: 3, max: 2 } } }],
])('a join with a senseless %s is refused by name', (field, changes) => {
  const refusal = new TestFleet().refusal({ ...new TestFleet().joinCommand(1), ...changes })
  expect(refusal.code).toBe('FLEET_INVALID')
  expect(refusal.message).toContain(field)
})

test.each([
  ['expiresAtMs', { expiresAtMs: ms(1) }],
  ['expiresAtMs', { expiresAtMs: ms(Number.NaN) }],
  ['maxUses', { maxUses: 0 }],
  ['maxUses', { maxUses: 1.5 }],
  ['secretDigest', { secretDigest: 'secret' }],
  ['label', { label: 'a\u0000b' }],
])('a join token with a senseless %s is refused by name', (field, changes) => {
  const command = {
    type: 'createJoinToken',
    organisation: acme,
    label: '',
    secretDigest: digest(1),
    expiresAtMs: ms(1e12),
    maxUses: 1,
  } as const
  const refusal = new TestFleet().refusal({ ...command, ...changes })
  expect(refusal.code).toBe('FLEET_INVALID')
  expect(refusal.message).toContain(field)
})
