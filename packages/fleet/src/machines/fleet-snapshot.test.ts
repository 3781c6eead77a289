import {
  bytes,
  bytesPerSecond,
  type Link,
  type MachineId,
  ms,
  organisationId,
  type PlacedStage,
  stageId,
} from '@deos/domain'
import { expect, test } from 'vitest'
import { fleetSnapshot, type PlacementSources } from './fleet-snapshot.ts'
import { benchmark, TestFleet } from './testing/test-fleet.ts'

const sources: PlacementSources = {
  organisation: null,
  placed: [],
  links: [],
  usableShare: { cpu: 0.5, gpu: 1 },
}

const stage = (machine: MachineId, device: string, weightBytes: number, kvBytes: number): PlacedStage => ({
  id: stageId('s'),
  machine,
  device,
  layers: { first: 0, end: 1 },
  weightBytes: bytes(weightBytes),
  kvBytes: bytes(kvBytes),
})

const link = (from: MachineId, to: MachineId, roundTripMs: number, speed = 1e8): Link => ({
  from,
  to,
  roundTripMs: ms(roundTripMs),
  bytesPerSecond: bytesPerSecond(speed),
})

test('offers the measured devices of ready machines with what is not promised of them', () => {
  const fleet = new TestFleet()
  const { id } = fleet.readyMachine(1)
  const placed = [stage(id, 'CUDA0', 10e9, 2e9), stage(id, 'CUDA0', 4e9, 0), stage(id, 'CPU', 40e9, 0)]
  expect(fleetSnapshot(fleet.state, { ...sources, placed }).candidates).toEqual([
    {
      machine: id,
      device: 'CPU',
      location: { region: 'eu', provider: 'home' },
      freeBytes: 0, // half of 64 GB, of which 40 are promised
      benchmark: benchmark.devices[0],
    },
    {
      machine: id,
      device: 'CUDA0',
      location: { region: 'eu', provider: 'home' },
      freeBytes: 8e9,
      benchmark: benchmark.devices[1],
    },
  ])
})

test('leaves out devices that were not measured', () => {
  const fleet = new TestFleet()
  const { id } = fleet.join(1)
  fleet.reportInventory(id)
  fleet.reportBenchmark(id, { devices: [benchmark.devices[1]!] })
  expect(fleetSnapshot(fleet.state, sources).candidates.map(({ device }) => device)).toEqual(['CUDA0'])
})

test('leaves out every machine that is not to get stages', () => {
  const fleet = new TestFleet()
  const [cordoned, draining, quarantined, lost, removed, usable] = [1, 2, 3, 4, 5, 6].map(
    (key) => fleet.readyMachine(key).id,
  ) as [MachineId, MachineId, MachineId, MachineId, MachineId, MachineId]
  fleet.join(7)
  fleet.reportInventory(fleet.join(8).id)
  fleet.do({ type: 'cordon', machine: cordoned, reason: 'x' })
  fleet.do({ type: 'drain', machine: draining, reason: 'x' })
  fleet.do({ type: 'quarantine', machine: quarantined, reason: 'x' })
  fleet.lose(lost)
  fleet.do({ type: 'remove', machine: removed, reason: 'x', placed: [], force: false })
  const { candidates } = fleetSnapshot(fleet.state, sources)
  expect(new Set(candidates.map(({ machine }) => machine))).toEqual(new Set([usable]))
  expect(fleetSnapshot(fleet.state, { ...sources, organisation: organisationId('b') }).candidates).toEqual([])
})

test('takes the latest sensible measurement of each link between usable machines', () => {
  const fleet = new TestFleet()
  const [a, b, gone] = [1, 2, 3].map((key) => fleet.readyMachine(key).id) as [MachineId, MachineId, MachineId]
  fleet.lose(gone)
  const links = [
    link(a, b, 30),
    link(b, a, 9),
    link(a, b, 10),
    link(a, gone, 1),
    link(a, a, 1),
    link(a, b, Number.NaN),
    link(a, b, 1, 0),
  ]
  expect(fleetSnapshot(fleet.state, { ...sources, links }).links).toEqual([link(a, b, 10), link(b, a, 9)])
})

test.each([0, 1.1, Number.NaN])('refuses to use %d of the memory', (cpu) => {
  expect(() => fleetSnapshot(new TestFleet().state, { ...sources, usableShare: { cpu, gpu: 1 } })).toThrow(
    'usableShare.cpu',
  )
})
