import { bytes, bytesPerSecond, machineId } from '@deos/domain'
import { expect, test } from 'vitest'
import { missingReport } from './machine.ts'
import { benchmark, inventory, TestFleet } from './testing/test-fleet.ts'

test('a machine goes from joining over benchmarking to ready, and is told what it owes', () => {
  const fleet = new TestFleet()
  const { id } = fleet.join(1)
  expect(missingReport(fleet.machine(id))).toBe('inventory')
  expect(fleet.reportInventory(id).state).toBe('benchmarking')
  expect(missingReport(fleet.machine(id))).toBe('benchmark')
  expect(fleet.reportBenchmark(id).state).toBe('ready')
  expect(missingReport(fleet.machine(id))).toBeNull()
  expect(missingReport(fleet.lose(id))).toBeNull()
})

test('what was reported already makes no event', () => {
  const fleet = new TestFleet()
  const { id } = fleet.readyMachine(1)
  const { version } = fleet.state
  fleet.reportInventory(id)
  fleet.reportBenchmark(id)
  expect(fleet.state.version).toBe(version)
  fleet.reportInventory(id, { diskFreeBytes: bytes(1) })
  expect(fleet.state.version).toBe(version + 1)
  expect(fleet.machine(id).state).toBe('ready')
})

test('a heartbeat brings a lost machine back to the state it had', () => {
  const fleet = new TestFleet()
  const { id } = fleet.readyMachine(1)
  fleet.do({ type: 'drain', machine: id, reason: 'new memory' })
  const lost = fleet.lose(id)
  expect(lost).toMatchObject({ state: 'offline' })
  expect(lost.reason).toContain('No heartbeat for 20 s')
  expect(fleet.refusal({ type: 'reportInventory', machine: id, incarnation: 1, inventory })).toMatchObject({
    code: 'MACHINE_OFFLINE',
    retriable: true,
  })
  expect(fleet.do({ type: 'heartbeat', machine: id, incarnation: 1 })).toHaveLength(1)
  expect(fleet.machine(id).state).toBe('draining')
})

test('a late heartbeat does not bring back who left', () => {
  const fleet = new TestFleet()
  const { id } = fleet.readyMachine(1)
  const leave = { type: 'leave', machine: id, incarnation: 1, reason: 'update' } as const
  expect(fleet.do(leave)).toHaveLength(1)
  expect(fleet.do(leave)).toEqual([])
  expect(fleet.refusal({ type: 'heartbeat', machine: id, incarnation: 1 })).toMatchObject({
    code: 'MACHINE_REJOIN',
  })
})

test('a lost machine may still say goodbye', () => {
  const fleet = new TestFleet()
  const { id } = fleet.join(1)
  fleet.lose(id)
  fleet.do({ type: 'leave', machine: id, incarnation: 1, reason: 'update' })
  expect(fleet.machine(id)).toMatchObject({ reason: 'It left: update.', presence: { resumable: false } })
})

test('an incarnation that was never given is told to join, an unknown machine likewise', () => {
  const fleet = new TestFleet()
  const { id } = fleet.join(1)
  expect(fleet.refusal({ type: 'heartbeat', machine: id, incarnation: 7 }).code).toBe('MACHINE_REJOIN')
  expect(fleet.refusal({ type: 'heartbeat', machine: id, incarnation: 0.5 }).code).toBe('FLEET_INVALID')
  const stranger = machineId('nobody')
  expect(fleet.refusal({ type: 'heartbeat', machine: stranger, incarnation: 1 })).toMatchObject({
    code: 'MACHINE_UNKNOWN',
  })
})

test('a fenced process can neither report nor leave in the name of the other', () => {
  const fleet = new TestFleet()
  const { id } = fleet.readyMachine(1)
  fleet.join(1)
  const from = { machine: id, incarnation: 1 }
  for (const command of [
    { type: 'reportInventory', ...from, inventory },
    { type: 'reportBenchmark', ...from, benchmark },
    { type: 'leave', ...from, reason: 'fenced' },
  ] as const) {
    expect(fleet.refusal(command).code).toBe('MACHINE_FENCED')
  }
  expect(fleet.machine(id).presence.online).toBe(true)
})

test('a benchmark needs the inventory of its own process', () => {
  const fleet = new TestFleet()
  const { id } = fleet.readyMachine(1)
  fleet.join(1)
  expect(fleet.refusal({ type: 'reportBenchmark', machine: id, incarnation: 2, benchmark })).toMatchObject({
    code: 'MACHINE_NOT_READY',
  })
})

test('an implausible benchmark quarantines with the numbers until a person releases the machine', () => {
  const fleet = new TestFleet()
  const { id } = fleet.readyMachine(1)
  const diskReadBytesPerSecond = bytesPerSecond(-5)
  const machine = fleet.reportBenchmark(id, { diskReadBytesPerSecond })
  expect(machine).toMatchObject({ state: 'quarantined', benchmark: null })
  expect(machine.reason).toContain('The disk reads at -5e+0 bytes/s')
  expect(missingReport(machine)).toBeNull()
  const { version } = fleet.state
  fleet.reportBenchmark(id, { diskReadBytesPerSecond })
  expect(fleet.state.version).toBe(version)

  fleet.do({ type: 'releaseFromQuarantine', machine: id, reason: 'fixed its disk' })
  expect(missingReport(fleet.machine(id))).toBe('benchmark')
  expect(fleet.machine(id).state).toBe('benchmarking')
  expect(fleet.reportBenchmark(id).state).toBe('ready')
})

test('a good benchmark in quarantine counts once the machine is released', () => {
  const fleet = new TestFleet()
  const { id } = fleet.readyMachine(1)
  fleet.reportBenchmark(id, { diskReadBytesPerSecond: bytesPerSecond(Number.NaN) })
  expect(fleet.reportBenchmark(id).state).toBe('quarantined')
  fleet.do({ type: 'releaseFromQuarantine', machine: id, reason: 'a hiccup' })
  expect(fleet.machine(id).state).toBe('ready')
})
