import { type OrganisationId, organisationId, type PlacedStage, tokens } from '@deos/domain'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { describeEmbedded, describeServer } from '../database/testing/databases.ts'
import {
  operator,
  request,
  stageReport,
  TestClock,
  TestMachine,
  TestPlacement,
  TestPlane,
} from './testing/test-plane.ts'

let clock: TestClock
let plane: TestPlane
let acme: OrganisationId
let token: string
let tests = 0

async function beginTest(): Promise<void> {
  tests += 1
  acme = organisationId(`acme-${tests}`)
  token = (await plane.createToken(acme)).secret
  plane.placement.clear()
  plane.stageCalls.length = 0
}

const ready = () => new TestMachine(token).becomeReady(plane)

/** Time in which the control plane is awake. */
async function pass(timeMs: number, ...planes: readonly TestPlane[]): Promise<void> {
  const endMs = clock.nowMs + timeMs
  while (clock.nowMs < endMs) {
    clock.nowMs += Math.min(500, endMs - clock.nowMs)
    for (const each of planes) await each.service.watch()
  }
}

const stateOf = async (machine: TestMachine) => (await plane.show(machine.id, acme)).state

const operate = (
  machine: TestMachine,
  type: 'drain' | 'cordon' | 'uncordon' | 'quarantine' | 'release',
  body: { reason?: string } = {},
) => plane.handlers.machines[type](request({ params: { machine: machine.id }, body }), operator(acme))

const remove = (machine: TestMachine, force = false) =>
  plane.handlers.machines.remove(
    request({ params: { machine: machine.id }, query: { force } }),
    operator(acme),
  )

const standing = (machine: TestMachine) =>
  plane.service.standings(acme).find((each) => each.machine === machine.id)

describeEmbedded('machines that are there', (open) => {
  beforeAll(async () => {
    clock = new TestClock()
    plane = await TestPlane.open(await open(), clock)
  })
  afterAll(() => plane.stop())
  beforeEach(beginTest)

  test('a heartbeat tells the terms, what is owed and whether assignments are new', async () => {
    const machine = new TestMachine(token)
    await machine.join(plane)
    plane.assignmentsVersion = 7
    expect(await machine.beat(plane)).toEqual({
      lease: {
        expiresAt: new Date(clock.nowMs + 4_000).toISOString(),
        durationMs: 4_000,
        heartbeatMs: 1_000,
      },
      assignmentsVersion: 7,
      missingReport: 'inventory',
      released: false,
    })
    await machine.report(plane)
    expect((await machine.beat(plane)).missingReport).toBeNull()
    expect(await plane.show(machine.id, acme)).toMatchObject({
      state: 'ready',
      load: { cpuFraction: 0.5, memoryUsedBytes: 1e9 },
      lease: { lastHeartbeatAt: new Date(clock.nowMs).toISOString() },
    })
  })

  test('heartbeats out of order renew nothing and change nothing', async () => {
    const machine = await ready()
    await machine.beat(plane, {
      sequence: 5,
      load: { cpuFraction: 0.9, memoryUsedBytes: 1 as never, devices: [] },
    })
    await pass(3_000, plane)
    await machine.beat(plane, { sequence: 4, stages: [stageReport('stage-late')] })
    expect((await plane.show(machine.id, acme)).load?.cpuFraction).toBe(0.9)
    expect(plane.stageCalls.some(({ stages }) => stages.length > 0)).toBe(false)
    await pass(1_500, plane)
    expect(await stateOf(machine)).toBe('offline')
  })

  test('a lease runs out, and the same process comes back by its next heartbeat', async () => {
    const machine = await ready()
    expect(standing(machine)?.standing).toBe('open')
    await pass(3_999, plane)
    expect(await stateOf(machine)).toBe('ready')
    await pass(1, plane)
    expect(await plane.show(machine.id, acme)).toMatchObject({
      state: 'offline',
      reason: { message: expect.stringMatching(/^No heartbeat for 4 s; its lease lasted 4 s/) },
      lease: null,
      load: null,
    })
    expect(standing(machine)?.standing).toBe('lost')
    await machine.beat(plane)
    expect(await stateOf(machine)).toBe('ready')
    expect(standing(machine)?.standing).toBe('open')
  })

  test('nothing expires because this process itself was asleep', async () => {
    const machine = await ready()
    clock.nowMs += 60_000
    await plane.service.watch()
    expect(await stateOf(machine)).toBe('ready')
    await pass(3_500, plane)
    await machine.beat(plane)
    await pass(3_500, plane)
    expect(await stateOf(machine)).toBe('ready')
    await pass(1_000, plane)
    expect(await stateOf(machine)).toBe('offline')
  })

  test('of two processes with one key the later one stays', async () => {
    const machine = await ready()
    const first = {
      ...machine,
      caller: await machine.caller(plane),
      incarnation: machine.joined!.incarnation,
    }
    machine.restart()
    await machine.join(plane)
    await expect(machine.caller(plane)).resolves.toMatchObject({ machine: { incarnation: 2 } })
    const late = {
      incarnation: first.incarnation,
      sequence: 99,
      assignmentsVersion: 0,
      load: { cpuFraction: 0, memoryUsedBytes: 0 as never, devices: [] },
      stages: [],
      leaving: false,
    }
    await expect(plane.worker.heartbeat(request({ body: late }), first.caller)).rejects.toMatchObject({
      code: 'MACHINE_FENCED',
    })
    await expect(
      (async () => plane.worker.heartbeat(request({ body: { ...late, incarnation: 2 } }), first.caller))(),
    ).rejects.toMatchObject({ fields: [{ field: 'incarnation' }] })
  })

  test('who has said goodbye is offline at once, and is heard only when it joins again', async () => {
    const machine = await ready()
    await machine.leave(plane)
    expect(await plane.show(machine.id, acme)).toMatchObject({ state: 'offline' })
    await expect(machine.beat(plane)).rejects.toMatchObject({ code: 'MACHINE_REJOIN' })
    machine.restart()
    await machine.becomeReady(plane)
    expect(await stateOf(machine)).toBe('ready')
  })

  test('deployments hear of stages when something in them differs, and again if that failed', async () => {
    const machine = await ready()
    expect(plane.stageCalls.map(({ stages }) => stages.length)).toEqual([0])
    const calls = async (...beats: Parameters<TestMachine['beat']>[1][]) => {
      plane.stageCalls.length = 0
      for (const beat of beats) await machine.beat(plane, beat)
      return plane.stageCalls.length
    }
    const loading = (loadedFraction: number) => [stageReport('stage-1', { loadedFraction })]
    expect(await calls({ stages: loading(0) })).toBe(1)
    expect(await calls({ stages: loading(0.001) }, { stages: loading(0.009) })).toBe(0)
    expect(await calls({ stages: loading(0.01) }, { stages: loading(0.0199) })).toBe(1)
    const loaded = { state: 'loaded', loadedFraction: 1 } as const
    expect(await calls({ stages: [stageReport('stage-1', loaded)] })).toBe(1)
    const busy = { ...loaded, activeSessions: 3, busyFraction: 0.7, generatedTokens: tokens(10) }
    expect(await calls({ stages: [stageReport('stage-1', busy)] })).toBe(0)
    expect(await calls({ stages: [stageReport('stage-1', { ...busy, linkAddress: 'a:1' })] })).toBe(1)
    // What it does not hold it has let go of, once it has seen that it should.
    expect(await calls({ stages: [] }, { stages: [] }, { stages: [], assignmentsVersion: 9 })).toBe(2)
    plane.stageTrouble = new Error('The database is away.')
    await expect(machine.beat(plane, { stages: loading(0), assignmentsVersion: 9 })).rejects.toThrow('away')
    expect(await calls({ stages: loading(0), assignmentsVersion: 9 })).toBe(1)
  })

  test('a machine that was cut off is open again when it has let go of what it held', async () => {
    const machine = await ready()
    plane.placement.place(machine.id, 'stage-1')
    await machine.beat(plane, { stages: [stageReport('stage-1')] })
    expect(standing(machine)?.standing).toBe('open')
    await pass(5_000, plane)
    plane.placement.clear()
    let changes = 0
    const stop = plane.service.onChange(() => {
      changes += 1
    })
    await machine.beat(plane, { stages: [stageReport('stage-1')] })
    expect(standing(machine)).toMatchObject({
      standing: 'closed',
      reason: 'It still has to let go of 1 stage from before it was cut off.',
    })
    changes = 0
    await machine.beat(plane)
    expect(standing(machine)?.standing).toBe('open')
    expect(changes).toBeGreaterThan(0)
    stop()
  })

  test('a machine whose owner stops it is drained and released, and takes stages when it is back', async () => {
    const machine = await ready()
    plane.placement.place(machine.id, 'stage-1')
    expect((await machine.beat(plane, { leaving: true })).released).toBe(false)
    expect(await plane.show(machine.id, acme)).toMatchObject({
      state: 'draining',
      drain: { reason: 'Its owner stops it.' },
      stages: [{ stageId: 'stage-1' }],
    })
    await pass(1_500, plane)
    expect((await machine.beat(plane, { leaving: true })).released).toBe(false)
    plane.placement.clear()
    await pass(500, plane)
    expect((await machine.beat(plane, { leaving: true })).released).toBe(true)
    await machine.leave(plane)
    machine.restart()
    await machine.becomeReady(plane)
    expect(await plane.show(machine.id, acme)).toMatchObject({ state: 'ready', cordon: null })
  })

  test('what an operator decided outlives a stop by the owner', async () => {
    const machine = await ready()
    plane.placement.place(machine.id, 'stage-1')
    await operate(machine, 'cordon', { reason: 'noisy' })
    await machine.beat(plane, { leaving: true })
    plane.placement.clear()
    await pass(1_500, plane)
    expect((await machine.beat(plane, { leaving: true })).released).toBe(true)
    machine.restart()
    await machine.becomeReady(plane)
    expect((await plane.show(machine.id, acme)).cordon?.reason).toContain('noisy')
  })
})

describeEmbedded('operating machines', (open) => {
  beforeAll(async () => {
    clock = new TestClock()
    plane = await TestPlane.open(await open(), clock)
  })
  afterAll(() => plane.stop())
  beforeEach(beginTest)

  test('draining ends when nothing is placed there any more', async () => {
    const machine = await ready()
    plane.placement.place(machine.id, 'stage-1')
    expect((await operate(machine, 'drain')).state).toBe('draining')
    expect(standing(machine)?.standing).toBe('draining')
    await pass(2_000, plane)
    expect(await stateOf(machine)).toBe('draining')
    plane.placement.clear()
    await machine.beat(plane)
    await pass(500, plane)
    expect(await plane.show(machine.id, acme)).toMatchObject({ state: 'ready', drain: null })
    expect(standing(machine)?.standing).toBe('closed')
    expect((await operate(machine, 'uncordon')).cordon).toBeNull()
    expect(standing(machine)?.standing).toBe('open')
  })

  test('quarantine takes stages off at once, and ends by release', async () => {
    const machine = await ready()
    expect(await operate(machine, 'quarantine', { reason: 'It lies' })).toMatchObject({
      state: 'quarantined',
      quarantines: [{ cause: 'operator', reason: 'It lies' }],
    })
    expect(standing(machine)?.standing).toBe('lost')
    expect((await operate(machine, 'release')).state).toBe('ready')
  })

  test('a removed machine is gone from lists, and is told so', async () => {
    const machine = await ready()
    const caller = await machine.caller(plane)
    plane.placement.place(machine.id, 'stage-1')
    await expect(remove(machine)).rejects.toMatchObject({ code: 'MACHINE_IN_USE' })
    await remove(machine, true)
    expect(await plane.listed(acme)).toEqual([])
    expect(standing(machine)).toBeUndefined()
    await expect(plane.show(machine.id, acme)).rejects.toMatchObject({ problem: 'not-found' })
    await expect(machine.caller(plane)).rejects.toMatchObject({ code: 'MACHINE_REMOVED' })
    await expect(
      plane.worker.leave(request({ body: { incarnation: 1 } }), caller) as Promise<undefined>,
    ).rejects.toMatchObject({ code: 'MACHINE_REMOVED' })
    machine.restart()
    clock.nowMs += 1
    machine.token = (await plane.createToken(acme)).secret
    await machine.becomeReady(plane)
    expect(await plane.listed(acme)).toEqual(['box ready'])
  })

  test('machines of others are not there', async () => {
    const machine = await ready()
    const others = operator(organisationId('others'))
    const params = { machine: machine.id }
    const calls = [
      async () => plane.handlers.machines.show(request({ params }), others),
      async () => plane.handlers.machines.links(request({ params }), others),
      async () =>
        plane.handlers.machines.series(request({ params, query: { window: '1h' as const } }), others),
      async () => plane.handlers.machines.drain(request({ params, body: {} }), others),
      async () => plane.handlers.machines.update(request({ params, body: { name: 'mine' } }), others),
      async () => plane.handlers.machines.remove(request({ params, query: { force: true } }), others),
    ].map((call) => call())
    for (const call of await Promise.allSettled(calls)) {
      expect(call).toMatchObject({ status: 'rejected', reason: { problem: 'not-found' } })
    }
    expect(await plane.listed(organisationId('others'))).toEqual([])
  })

  test('operators name, place and price machines, which beats what machines say', async () => {
    const [one, two] = [await ready(), await ready()]
    const update = (machine: TestMachine, body: object) =>
      plane.handlers.machines.update(request({ params: { machine: machine.id }, body }), operator(acme))
    const location = { region: 'ap', provider: 'lab' }
    const pricePerHour = { currency: 'USD', microUnits: '250000' }
    expect(await update(one, { name: 'attic', location, pricePerHour })).toMatchObject({
      name: 'attic',
      location,
      pricePerHour,
    })
    await expect(update(two, { name: 'attic' })).rejects.toMatchObject({ code: 'MACHINE_NAME_TAKEN' })
    expect((await update(two, { name: 'box' })).name).toBe('box')
    expect(plane.service.details(one.id)).toEqual({ name: 'attic', location, pricePerHour })
    expect((await update(one, { pricePerHour: null })).pricePerHour).toBeNull()
    const [candidate] = plane.service.snapshot(acme).candidates.filter(({ machine }) => machine === one.id)
    expect(candidate).toMatchObject({ location, device: 'CPU', freeBytes: Math.floor(64e9 * 0.6) })
    // A join that wishes for a name that somebody was given gets another.
    expect((await new TestMachine(token, 'attic').join(plane)).name).toBe('attic-2')
  })

  test('lists are filtered, and read page by page', async () => {
    const machines = [await ready(), await ready(), await ready(), await ready(), await ready()]
    await operate(machines[3]!, 'quarantine')
    const list = (query: object) =>
      plane.handlers.machines.list(request({ query: { limit: 50, ...query } }), operator(acme))
    const names = async (query: object) => (await list(query)).items.map(({ name }) => name)
    expect(await names({})).toEqual(['box', 'box-2', 'box-3', 'box-4', 'box-5'])
    expect(await names({ state: ['quarantined'] })).toEqual(['box-4'])
    expect(await names({ name: 'box-2' })).toEqual(['box-2'])
    expect(await names({ region: 'eu' })).toEqual([])
    expect(await names({ provider: 'unknown', region: 'unknown' })).toHaveLength(5)
    const read: string[] = []
    let cursor: string | null | undefined
    do {
      const page = await list({ limit: 2, ...(cursor ? { cursor } : {}) })
      read.push(...page.items.map(({ name }) => name))
      cursor = page.nextCursor
    } while (cursor)
    expect(read).toEqual(['box', 'box-2', 'box-3', 'box-4', 'box-5'])
    await expect((async () => list({ cursor: 'nonsense' }))()).rejects.toThrow()
  })

  test('a machine behind a NAT is ready, gets no stages, and says why', async () => {
    const machine = new TestMachine((await plane.createToken(acme)).secret)
    await machine.join(plane, { linkAddress: null })
    await machine.report(plane)
    await machine.beat(plane)
    expect(standing(machine)).toMatchObject({ standing: 'closed', reason: expect.stringContaining('NAT') })
    const { state, reason } = await plane.show(machine.id, acme)
    expect([state, reason.message]).toEqual(['ready', expect.stringContaining('behind a NAT')])
  })

  test('placement sees the machines and links of one organisation', async () => {
    const [one, two] = [await ready(), await ready()]
    const foreign = new TestMachine((await plane.createToken(organisationId('others'))).secret)
    await foreign.becomeReady(plane)
    const links = [two, foreign, one].map(({ id }) => ({
      to: id,
      roundTripMs: 3 as never,
      bytesPerSecond: 1e9 as never,
    }))
    await plane.worker.links(request({ body: { incarnation: 1, links } }), await one.caller(plane))
    const snapshot = plane.service.snapshot(acme)
    expect(new Set(snapshot.candidates.map(({ machine }) => machine))).toEqual(new Set([one.id, two.id]))
    expect(snapshot.links).toMatchObject([{ from: one.id, to: two.id, roundTripMs: 3 }])
    expect(plane.service.standings(acme).map(({ machine }) => machine)).not.toContain(foreign.id)
    expect(plane.service.standings(null).map(({ machine }) => machine)).toContain(foreign.id)
    const shown = await plane.handlers.machines.links(
      request({ params: { machine: two.id } }),
      operator(acme),
    )
    expect(shown.links).toHaveLength(1)
    const peersOf = async (machine: TestMachine) => {
      const { peers } = await plane.worker.peers(request({}), await machine.caller(plane))
      return peers.map(({ machineId }) => machineId)
    }
    expect(await peersOf(one)).toEqual([])
    expect(await peersOf(two)).toEqual([one.id])
    clock.nowMs += 60 * 60_000 + 1
    expect(await peersOf(one)).toEqual([two.id])
    expect(plane.service.ticketFor(one.id, two.id)?.ticket).toMatch(`${one.id}.${two.id}.`)
  })

  test('logs are about stages that the machine holds, and not too many', async () => {
    const [one, two] = [await ready(), await ready()]
    plane.placement.place(one.id, 'stage-1')
    const line = (message: string) => ({
      at: new Date(clock.nowMs + 1e9).toISOString(),
      level: 'info' as const,
      stageId: 'stage-1' as PlacedStage['id'],
      message,
    })
    const log = async (machine: TestMachine, lines: readonly ReturnType<typeof line>[]) =>
      plane.worker.logs(request({ body: { incarnation: 1, lines } }), await machine.caller(plane))
    await log(one, [line('own \0 words')])
    await log(two, [line('about others')])
    const rows = await plane.database.queries.query.logLines.findMany({
      where: (columns, { eq }) => eq(columns.organisationId, acme),
      orderBy: (columns) => columns.sequence,
    })
    expect(rows).toMatchObject([
      { deploymentId: 'deployment-1', message: 'own \ufffd words', at: new Date(clock.nowMs) },
      { deploymentId: null, machineId: two.id },
    ])
    const many = Array.from({ length: 500 }, () => line('again'))
    for (let count = 0; count < 3; count += 1) await log(one, many)
    await expect(log(one, many)).rejects.toMatchObject({ problem: 'rate-limited', retryAfterMs: 10 })
    clock.nowMs += 10
    await log(one, many)
  })

  test('charts draw what machines said', async () => {
    const machine = await ready()
    const sample = () =>
      plane.service.sampleMachines().find(({ subject }) => subject === `machine:${machine.id}`)?.values
    const stage = { state: 'loaded', busyFraction: 0.25, kvUsedTokens: tokens(40) } as const
    await machine.beat(plane, { stages: [stageReport('s', { ...stage, generatedTokens: tokens(100) })] })
    expect(sample()).toMatchObject({ cpu_ratio: 0.5, generated_tokens_per_second: null, busy_ratio: 0.25 })
    clock.nowMs += 10_000
    await machine.beat(plane, { stages: [stageReport('s', { ...stage, generatedTokens: tokens(150) })] })
    expect(sample()).toMatchObject({ generated_tokens_per_second: 5, kv_used_tokens: 40 })
    clock.nowMs += 10_000
    // Its process began anew.
    await machine.beat(plane, { stages: [stageReport('s', { ...stage, generatedTokens: tokens(30) })] })
    expect(sample()).toMatchObject({ generated_tokens_per_second: 3 })
  })
})

describeServer('two control planes', (open, again) => {
  let database: Database
  let second: TestPlane

  beforeAll(async () => {
    clock = new TestClock()
    database = await open()
    const placement = new TestPlacement()
    plane = await TestPlane.open(database, clock, placement)
    second = await TestPlane.open(await again(database), clock, placement)
  })
  afterAll(async () => {
    await plane.stop()
    await second.stop()
  })
  beforeEach(beginTest)

  test('heartbeats to one keep the machine alive for the other, and no longer', async () => {
    const machine = await ready()
    await second.fleet.refresh()
    for (let count = 0; count < 12; count += 1) {
      await pass(1_000, plane, second)
      await machine.beat(plane, { stages: [stageReport('stage-1', { loadedFraction: count / 100 })] })
      await plane.service.exchange()
      await second.service.exchange()
    }
    expect((await second.show(machine.id, acme)).state).toBe('ready')
    expect(second.service.reportOf(machine.id)?.stages[0]?.loadedFraction).toBe(0.11)
    await second.service.exchange()
    await pass(4_500, second)
    expect((await second.show(machine.id, acme)).state).toBe('offline')
    await plane.fleet.refresh()
    expect(await stateOf(machine)).toBe('offline')
  })

  test('before one lets a lease run out it asks what the other heard', async () => {
    const machine = await ready()
    await second.service.exchange()
    await pass(3_500, plane, second)
    await machine.beat(plane)
    await plane.service.exchange()
    await pass(1_000, second)
    await second.service.log.refresh()
    expect((await second.show(machine.id, acme)).state).toBe('ready')
  })

  test('a machine may turn to either with everything', async () => {
    const machine = new TestMachine(token)
    const body = await machine.joinBody(second)
    machine.joined = await machine.send(plane, body)
    await machine.beat(second)
    await machine.report(second)
    await second.service.exchange()
    await plane.service.exchange()
    expect(await stateOf(machine)).toBe('ready')
    expect(standing(machine)?.standing).toBe('open')
    expect(second.service.ticketFor(machine.id, machine.id)).toEqual(
      plane.service.ticketFor(machine.id, machine.id),
    )
    await second.handlers.machines.update(
      request({ params: { machine: machine.id }, body: { name: 'cellar' } }),
      operator(acme),
    )
    await plane.service.exchange()
    expect((await plane.show(machine.id, acme)).name).toBe('cellar')
  })

  test('names stay unique when machines join and are renamed at both', async () => {
    const machines = Array.from({ length: 8 }, () => new TestMachine(token))
    await Promise.all(machines.map((machine, index) => machine.join(index % 2 ? plane : second)))
    await Promise.all([plane.fleet.refresh(), second.fleet.refresh()])
    const rename = (at: TestPlane, { id }: TestMachine) =>
      at.handlers.machines.update(
        request({ params: { machine: id }, body: { name: 'star' } }),
        operator(acme),
      )
    const late = new TestMachine(token, 'star')
    const outcomes = await Promise.allSettled([
      rename(plane, machines[0]!),
      rename(second, machines[1]!),
      late.join(plane),
    ])
    expect(outcomes[2]!.status).toBe('fulfilled')
    await plane.fleet.refresh()
    await plane.service.exchange()
    const names = (await plane.listed(acme)).map((text) => text.split(' ')[0])
    expect(names).toHaveLength(9)
    expect(new Set(names).size).toBe(9)
  })

  test('a control plane that starts anew lets nothing expire before it has listened', async () => {
    const machine = await ready()
    await plane.service.exchange()
    clock.nowMs += 30_000
    const third = await TestPlane.open(await again(database), clock)
    await third.service.watch()
    expect((await third.show(machine.id, acme)).state).toBe('ready')
    await pass(3_999, third)
    expect((await third.show(machine.id, acme)).state).toBe('ready')
    await pass(1, third)
    expect((await third.show(machine.id, acme)).state).toBe('offline')
    await third.stop()
  })
})
