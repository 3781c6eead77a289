import { type MachineId, ms } from '@deos/domain'
import { expect, test } from 'vitest'
import { FleetError } from './fleet-error.ts'
import { expireLeases, Leases, leaseTerms, receiveHeartbeat } from './leases.ts'
import { TestFleet } from './testing/test-fleet.ts'

const policy = { durationMs: ms(15_000), graceMs: ms(30_000) }

/** A ready machine and leases that are past the grace of their control plane. */
function scene(): { fleet: TestFleet; id: MachineId; leases: Leases; startMs: number } {
  const fleet = new TestFleet()
  const leases = new Leases(policy, ms(0))
  const { id } = fleet.readyMachine(1)
  return { fleet, id, leases, startMs: fleet.machine(id).presence.atMs }
}

function beat(fleet: TestFleet, leases: Leases, machine: MachineId, sequence: number, nowMs: number) {
  const { incarnation } = fleet.machine(machine)
  const context = { nowMs: ms(nowMs), ids: { next: () => 'none' }, versions: fleet.versions }
  return receiveHeartbeat(fleet.state, leases, { machine, incarnation, sequence }, context)
}

test('a lease begins with the join, is renewed by heartbeats and then runs out with a reason', () => {
  const { fleet, id, leases, startMs } = scene()
  expect(expireLeases(fleet.state, leases, ms(startMs + 14_999))).toEqual([])
  expect(beat(fleet, leases, id, 1, startMs + 10_000)).toEqual([])
  expect(expireLeases(fleet.state, leases, ms(startMs + 24_999))).toEqual([])
  const events = expireLeases(fleet.state, leases, ms(startMs + 26_000))
  expect(events).toMatchObject([{ machine: id, incarnation: 1, cause: 'lease' }])
  expect(events[0]!.reason).toBe('No heartbeat for 16 s; its lease lasted 15 s')
  fleet.append(events)
  expect(expireLeases(fleet.state, leases, ms(startMs + 99_000))).toEqual([])
  expect(beat(fleet, leases, id, 2, startMs + 99_500)).toMatchObject([{ type: 'machineReturned' }])
})

test('heartbeats that come twice or late neither renew nor bring back', () => {
  const { fleet, id, leases, startMs } = scene()
  beat(fleet, leases, id, 5, startMs + 1_000)
  beat(fleet, leases, id, 5, startMs + 9_000)
  beat(fleet, leases, id, 4, startMs + 9_000)
  const events = expireLeases(fleet.state, leases, ms(startMs + 16_000))
  expect(events).toHaveLength(1)
  fleet.append(events)
  expect(beat(fleet, leases, id, 5, startMs + 20_000)).toEqual([])
  expect(fleet.machine(id).state).toBe('offline')
})

test('a fenced or senseless heartbeat renews nothing', () => {
  const { fleet, id, leases, startMs } = scene()
  fleet.join(1)
  const context = { nowMs: ms(startMs), ids: { next: () => 'none' }, versions: fleet.versions }
  const old = { machine: id, incarnation: 1, sequence: 9 }
  expect(receiveHeartbeat(fleet.state, leases, old, context)).toMatchObject({ code: 'MACHINE_FENCED' })
  expect(beat(fleet, leases, id, Number.NaN, startMs)).toBeInstanceOf(FleetError)
  expect(leases.list()).toEqual([])
})

test('a new incarnation counts its heartbeats from the beginning', () => {
  const { fleet, id, leases, startMs } = scene()
  beat(fleet, leases, id, 50, startMs)
  const joinedAtMs = fleet.join(1).presence.atMs
  expect(leases.heardAtMs(fleet.machine(id))).toBe(joinedAtMs)
  beat(fleet, leases, id, 0, joinedAtMs + 5_000)
  expect(leases.heardAtMs(fleet.machine(id))).toBe(joinedAtMs + 5_000)
})

test('after a restart nothing expires before the grace has passed, whatever became of the leases', () => {
  const { fleet, id, leases, startMs } = scene()
  beat(fleet, leases, id, 1, startMs)
  const restartMs = startMs + 3_600_000
  const stored = JSON.parse(JSON.stringify(leases.list())) as ReturnType<Leases['list']>
  for (const kept of [[], stored]) {
    const after = new Leases(policy, ms(restartMs))
    for (const lease of kept) after.merge(lease)
    expect(expireLeases(fleet.state, after, ms(restartMs + 29_999))).toEqual([])
    expect(expireLeases(fleet.state, after, ms(restartMs + 30_000))).toHaveLength(1)
  }
})

test('of two leases the later counts, in whichever order they come', () => {
  const leases = new Leases(policy, ms(0))
  const machine = 'm' as MachineId
  const later = { machine, incarnation: 2, sequence: 3, renewedAtMs: ms(7), durationMs: ms(15_000) }
  expect(leases.merge(later)).toBe(true)
  expect(leases.merge({ ...later, sequence: 2, renewedAtMs: ms(9) })).toBe(false)
  expect(leases.merge({ ...later, incarnation: 1, sequence: 99 })).toBe(false)
  expect(leases.list()).toEqual([later])
})

test.each([
  ['durationMs', { durationMs: ms(0), graceMs: ms(0) }],
  ['durationMs', { durationMs: ms(Number.POSITIVE_INFINITY), graceMs: ms(0) }],
  ['graceMs', { durationMs: ms(1), graceMs: ms(-1) }],
  ['graceMs', { durationMs: ms(1), graceMs: ms(Number.NaN) }],
])('a senseless %s is refused', (field, senseless) => {
  expect(() => new Leases(senseless, ms(0))).toThrow(field)
})

test('many machines beat more rarely, as many times a lease, and never more than may come in a second', () => {
  const pace = { heartbeatMs: ms(1_000), durationMs: ms(4_000), heartbeatsPerSecond: 250 }
  expect(leaseTerms(pace, 0)).toEqual({ heartbeatMs: 1_000, durationMs: 4_000 })
  expect(leaseTerms(pace, 250)).toEqual({ heartbeatMs: 1_000, durationMs: 4_000 })
  expect(leaseTerms(pace, 1_000)).toEqual({ heartbeatMs: 4_000, durationMs: 16_000 })
  expect(leaseTerms({ ...pace, heartbeatMs: ms(500) }, 200)).toEqual({ heartbeatMs: 800, durationMs: 6_400 })
})

test('a lease lasts as long as the machine was told', () => {
  const { fleet, id, leases, startMs } = scene()
  const context = { nowMs: ms(startMs), ids: { next: () => 'none' }, versions: fleet.versions }
  receiveHeartbeat(fleet.state, leases, { machine: id, incarnation: 1, sequence: 1 }, context, ms(60_000))
  expect(expireLeases(fleet.state, leases, ms(startMs + 59_999))).toEqual([])
  expect(expireLeases(fleet.state, leases, ms(startMs + 60_000))).toHaveLength(1)
})

test('after a restart a long lease is as long as the grace: the machine may not be about to beat before', () => {
  const { fleet, id, startMs } = scene()
  const restartMs = startMs + 3_600_000
  const after = new Leases(policy, ms(restartMs))
  after.merge({
    machine: id,
    incarnation: 1,
    sequence: 1,
    renewedAtMs: ms(startMs),
    durationMs: ms(90_000),
  })
  expect(expireLeases(fleet.state, after, ms(restartMs + 89_999))).toEqual([])
  expect(expireLeases(fleet.state, after, ms(restartMs + 90_000))).toHaveLength(1)
})

test('a machine whose connection broke has the shortest lease until it is heard of again', () => {
  const { fleet, id, leases, startMs } = scene()
  const context = (nowMs: number) => ({
    nowMs: ms(nowMs),
    ids: { next: () => 'none' },
    versions: fleet.versions,
  })
  const heard = (sequence: number, nowMs: number) =>
    receiveHeartbeat(
      fleet.state,
      leases,
      { machine: id, incarnation: 1, sequence },
      context(nowMs),
      ms(90_000),
    )
  heard(1, startMs)
  leases.suspect(id, ms(startMs + 40_000))
  expect(expireLeases(fleet.state, leases, ms(startMs + 54_999))).toEqual([])
  const [event] = expireLeases(fleet.state, leases, ms(startMs + 55_000))
  expect(event!.reason).toBe('Its connection broke, and no heartbeat came for 55 s')
  heard(1, startMs + 50_000)
  expect(expireLeases(fleet.state, leases, ms(startMs + 55_000))).toHaveLength(1)
  heard(2, startMs + 50_000)
  expect(expireLeases(fleet.state, leases, ms(startMs + 139_999))).toEqual([])
  leases.suspect(id, ms(startMs + 139_000))
  expect(expireLeases(fleet.state, leases, ms(startMs + 140_000))).toHaveLength(1)
})
