import { bytes, type MachineId, machineId, type PlacedStage, stageId } from '@deos/domain'
import { expect, test } from 'vitest'
import { listMachines, liveMachines, usableMachines } from './listing.ts'
import { TestFleet } from './testing/test-fleet.ts'

const stageOn = (machine: MachineId, n: number): PlacedStage => ({
  id: stageId(`stage-${n}`),
  machine,
  device: 'CPU',
  layers: { first: 0, end: 1 },
  weightBytes: bytes(1),
  kvBytes: bytes(1),
})

test('a cordoned machine stays ready but gets nothing new', () => {
  const fleet = new TestFleet()
  const { id } = fleet.readyMachine(1)
  const cordon = { type: 'cordon', machine: id, reason: 'watching a fan' } as const
  expect(fleet.do(cordon)).toHaveLength(1)
  expect(fleet.do(cordon)).toEqual([])
  expect(fleet.machine(id)).toMatchObject({ state: 'ready', reason: 'Cordoned: watching a fan.' })
  expect(usableMachines(fleet.state, null)).toEqual([])
  expect(liveMachines(fleet.state, null)).toHaveLength(1)
  fleet.do({ type: 'uncordon', machine: id, reason: 'quiet again' })
  expect(fleet.do({ type: 'uncordon', machine: id, reason: 'quiet again' })).toEqual([])
  expect(usableMachines(fleet.state, null)).toHaveLength(1)
})

test('a drain ends when nothing is placed there, and leaves the machine cordoned', () => {
  const fleet = new TestFleet()
  const { id } = fleet.readyMachine(1)
  const drain = { type: 'drain', machine: id, reason: 'new GPU' } as const
  fleet.do(drain)
  expect(fleet.do(drain)).toEqual([])
  expect(fleet.machine(id)).toMatchObject({ state: 'draining', reason: 'Draining: new GPU.' })
  const placed = [1, 2, 3, 4].map((n) => stageOn(id, n))
  const refusal = fleet.refusal({ type: 'drained', machine: id, placed })
  expect(refusal).toMatchObject({ code: 'MACHINE_IN_USE', retriable: true })
  expect(refusal.message).toContain('4 stages are still placed')
  const elsewhere = [stageOn(machineId('other'), 1)]
  fleet.do({ type: 'drained', machine: id, placed: elsewhere })
  expect(fleet.do({ type: 'drained', machine: id, placed: elsewhere })).toEqual([])
  expect(fleet.machine(id)).toMatchObject({ state: 'ready', drain: null })
  expect(fleet.machine(id).reason).toBe('Cordoned: Drained (new GPU).')
  expect(usableMachines(fleet.state, null)).toEqual([])
})

test('uncordoning ends a drain', () => {
  const fleet = new TestFleet()
  const { id } = fleet.readyMachine(1)
  fleet.do({ type: 'drain', machine: id, reason: 'new GPU' })
  fleet.do({ type: 'uncordon', machine: id, reason: 'not today' })
  expect(fleet.machine(id)).toMatchObject({ state: 'ready', drain: null, cordon: null })
})

test('quarantine and what it was for outlast an absence', () => {
  const fleet = new TestFleet()
  const { id } = fleet.readyMachine(1)
  const quarantine = { type: 'quarantine', machine: id, reason: 'wrong tokens' } as const
  fleet.do(quarantine)
  expect(fleet.do(quarantine)).toEqual([])
  expect(fleet.machine(id)).toMatchObject({ state: 'quarantined', reason: 'wrong tokens.' })
  expect(fleet.lose(id).reason).toContain('Also quarantined: wrong tokens.')
  fleet.do({ type: 'heartbeat', machine: id, incarnation: 1 })
  expect(fleet.machine(id).state).toBe('quarantined')
  const release = { type: 'releaseFromQuarantine', machine: id, reason: 'checked' } as const
  fleet.do(release)
  expect(fleet.do(release)).toEqual([])
  expect(fleet.machine(id).state).toBe('ready')
})

test('a machine in use is removed only by force', () => {
  const fleet = new TestFleet()
  const { id } = fleet.readyMachine(1)
  const remove = { type: 'remove', machine: id, reason: 'sold', placed: [stageOn(id, 1)] } as const
  const refusal = fleet.refusal({ ...remove, force: false })
  expect(refusal.message).toContain('1 stage is still placed')
  expect(fleet.do({ ...remove, force: true })).toHaveLength(1)
  expect(fleet.do({ ...remove, force: true })).toEqual([])
  expect(listMachines(fleet.state, null)).toEqual([])
  expect(fleet.refusal({ type: 'drain', machine: id, reason: 'x' })).toMatchObject({
    code: 'MACHINE_REMOVED',
  })
})

test.each(['cordon', 'uncordon', 'drain', 'quarantine', 'releaseFromQuarantine'] as const)(
  '%s wants a reason and a machine',
  (type) => {
    const fleet = new TestFleet()
    const { id } = fleet.readyMachine(1)
    expect(fleet.refusal({ type, machine: id, reason: '' })).toMatchObject({ code: 'FLEET_INVALID' })
    expect(fleet.refusal({ type, machine: machineId('nobody'), reason: 'x' })).toMatchObject({
      code: 'MACHINE_UNKNOWN',
    })
  },
)
