import { bytes, bytesPerSecond, type MachineId, machineId, ms } from '@deos/domain'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { FleetCommand } from './fleet-commands.ts'
import { FleetError } from './fleet-error.ts'
import type { FleetEvent } from './fleet-events.ts'
import { emptyFleet, evolveFleet, type FleetState, foldFleet } from './fleet-state.ts'
import { joinTokenStatus } from './join-token.ts'
import { listJoinTokens, listMachines, liveMachines, usableMachines } from './listing.ts'
import { machineState, stateReason } from './machine.ts'
import { restoreFleet, storeFleet } from './stored-fleet.ts'
import { acme, benchmark, digest, inventory, TestFleet } from './testing/test-fleet.ts'

const json = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T

/** Commands that make sense often enough, given what is there: small numbers choose among it. */
type Draw = readonly [kind: number, which: number, odd: number]

function commandFor(fleet: TestFleet, [kind, which, odd]: Draw): FleetCommand {
  const ids = [...fleet.state.machines.keys()]
  const machine = (ids[which % Math.max(1, ids.length)] ?? machineId('nobody')) as MachineId
  const incarnation = Math.max(1, (fleet.state.machines.get(machine)?.incarnation ?? 1) - (odd === 0 ? 1 : 0))
  const tokens = [...fleet.state.tokens.values()]
  const token = tokens[which % tokens.length]!
  const reason = `reason ${odd}`
  switch (kind) {
    case 0:
      return {
        type: 'createJoinToken',
        organisation: acme,
        label: '',
        secretDigest: digest(which),
        expiresAtMs: ms(fleet.nowMs + 20_000 * odd),
        maxUses: odd === 1 ? null : odd,
      }
    case 1:
      return { type: 'revokeJoinToken', token: token.id, reason }
    case 2:
    case 3:
    case 4: {
      const join = fleet.joinCommand(which, { process: `p${odd}`, token: odd === 3 ? null : token })
      const changes = odd === 4 ? { after: Math.max(0, join.after - 1) } : {}
      const software = { version: '3.0.0', protocol: { min: 1, max: 9 } }
      return { ...join, ...changes, ...(odd === 5 ? { software } : {}) }
    }
    case 5:
      return { type: 'reportInventory', machine, incarnation, inventory }
    case 6: {
      const changed = { ...inventory, memoryBytes: bytes(1e9 * (1 + odd)) }
      return { type: 'reportInventory', machine, incarnation, inventory: changed }
    }
    case 7:
      return { type: 'reportBenchmark', machine, incarnation, benchmark }
    case 8: {
      const diskReadBytesPerSecond = bytesPerSecond(odd > 3 ? Number.NaN : 1e9)
      const changed = { ...benchmark, diskReadBytesPerSecond }
      return { type: 'reportBenchmark', machine, incarnation, benchmark: changed }
    }
    case 9:
      return { type: 'heartbeat', machine, incarnation }
    case 10:
      return { type: 'leave', machine, incarnation, reason }
    case 11:
      return { type: 'cordon', machine, reason }
    case 12:
      return { type: 'uncordon', machine, reason }
    case 13:
      return { type: 'drain', machine, reason }
    case 14:
      return { type: 'drained', machine, placed: [] }
    case 15:
      return { type: 'quarantine', machine, reason }
    case 16:
      return { type: 'releaseFromQuarantine', machine, reason }
    default:
      return { type: 'remove', machine, reason, placed: [], force: odd === 0 }
  }
}

const draws = fc.array(
  fc.tuple(fc.integer({ min: 0, max: 19 }), fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 5 })),
  { minLength: 1, maxLength: 80, size: 'max' },
)

/** Carries out what was drawn; two kinds lose a machine instead. */
function play(
  fleet: TestFleet,
  drawn: readonly Draw[],
  after: (before: FleetState, draw: Draw) => void,
): void {
  for (const draw of drawn) {
    const before = fleet.state
    const [kind, which] = draw
    const live = liveMachines(before, null)
    if (kind >= 18) {
      if (live.length > 0) fleet.lose(live[which % live.length]!.id)
    } else {
      const decision = fleet.decide(commandFor(fleet, draw))
      if (!(decision instanceof FleetError)) fleet.append(json(decision))
    }
    after(before, draw)
  }
}

test('whatever is commanded, state, log and stored form say the same, and identities are stable', () => {
  fc.assert(
    fc.property(draws, (drawn) => {
      const fleet = new TestFleet()
      play(fleet, drawn, (before) => {
        const { state } = fleet
        expect(state.version).toBe(fleet.log.length)
        const machines = [...state.machines.values()]
        expect(new Set(machines.map(({ fingerprint }) => fingerprint)).size).toBe(machines.length)
        for (const machine of machines) {
          expect(state.byFingerprint.get(machine.fingerprint)).toBe(machine.id)
          expect(machine.state).toBe(machineState(machine))
          expect(machine.reason).toBe(stateReason(machine))
          expect(machine.reason).not.toBe('')
          if (machine.drain !== null) expect(machine.cordon).not.toBeNull()
          if (machine.benchmark !== null) expect(machine.inventory).not.toBeNull()
          const earlier = before.machines.get(machine.id)
          if (earlier === undefined) continue
          expect(machine.fingerprint).toBe(earlier.fingerprint)
          expect(machine.incarnation - earlier.incarnation).toBeOneOf([0, 1])
          expect(machine.stateSinceMs === earlier.stateSinceMs).toBe(machine.state === earlier.state)
        }
        for (const { uses, maxUses } of state.tokens.values()) {
          expect(uses).toBeLessThanOrEqual(maxUses ?? Number.POSITIVE_INFINITY)
        }
        expect(restoreFleet(json(storeFleet(state)))).toEqual(state)
      })
      expect(foldFleet(fleet.log)).toEqual(fleet.state)
      expect(fleet.log.reduce(evolveFleet, emptyFleet)).toEqual(fleet.state)
    }),
    { numRuns: 200 },
  )
})

test('the same command again gives no event, unless it makes something new', () => {
  fc.assert(
    fc.property(draws, (drawn) => {
      const fleet = new TestFleet()
      for (const draw of drawn) {
        const command = commandFor(fleet, draw)
        const decision = fleet.decide(command)
        if (decision instanceof FleetError) continue
        fleet.append(decision)
        if (command.type === 'createJoinToken') continue
        const again = fleet.decide(command)
        // After a goodbye or a removal there is nobody left to say more.
        if (!(again instanceof FleetError)) expect(again).toEqual([])
      }
    }),
    { numRuns: 100 },
  )
})

test('folding leaves the states before as they were', () => {
  fc.assert(
    fc.property(draws, (drawn) => {
      const fleet = new TestFleet()
      const seen: (readonly [FleetState, string])[] = []
      play(fleet, drawn, () => seen.push([fleet.state, JSON.stringify(storeFleet(fleet.state))]))
      for (const [state, text] of seen) expect(JSON.stringify(storeFleet(state))).toBe(text)
    }),
    { numRuns: 50 },
  )
})

test('the properties above meet every kind of event and state', () => {
  const kinds = new Set<string>()
  const states = new Set<string>()
  for (const drawn of fc.sample(draws, { seed: 7, numRuns: 300 })) {
    const fleet = new TestFleet()
    play(fleet, drawn, () => {
      for (const { state } of fleet.state.machines.values()) states.add(state)
    })
    for (const { type } of fleet.log) kinds.add(type)
  }
  expect(kinds.size).toBe(14)
  expect(states.size).toBe(7)
})

test('a log with a gap is noticed', () => {
  const fleet = new TestFleet()
  fleet.readyMachine(1)
  fleet.join(1)
  const [token, first, , , second] = fleet.log as [FleetEvent, FleetEvent, FleetEvent, FleetEvent, FleetEvent]
  expect(() => foldFleet([first])).toThrow('join token join-token-1, which was never made')
  expect(() => foldFleet([token, second])).toThrow('as incarnation 2 after 0')
  expect(() => foldFleet([token, first, first])).toThrow('as incarnation 1 after 1')
  expect(() => foldFleet(fleet.log.slice(2))).toThrow('which never joined')
})

test('a fleet stored in another format is not read', () => {
  expect(restoreFleet({ ...storeFleet(emptyFleet), format: 0 })).toBeNull()
})

test('lists are ordered and belong to an organisation', () => {
  const fleet = new TestFleet()
  const ids = [3, 1, 2].map((key) => fleet.readyMachine(key).id)
  fleet.lose(ids[0]!)
  expect(listMachines(fleet.state, acme).map(({ id }) => id)).toEqual([...ids].sort())
  expect(liveMachines(fleet.state, null)).toHaveLength(2)
  expect(usableMachines(fleet.state, acme)).toHaveLength(2)
  expect(listMachines(fleet.state, 'other' as typeof acme)).toEqual([])
  const [token] = listJoinTokens(fleet.state, acme)
  expect(token).toMatchObject({ uses: 3, label: 'all' })
  expect(joinTokenStatus(token!, ms(0))).toBe('usable')
  expect(joinTokenStatus(token!, token!.expiresAtMs)).toBe('expired')
})
