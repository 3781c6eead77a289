import { ProblemError, type RoutingState, type StreamEvent } from '@deos/api'
import {
  type DeploymentId,
  type MachineId,
  ms,
  type PlacementRequest,
  tokens,
  tokensPerSecond,
} from '@deos/domain'
import { promisedStages } from '@deos/fleet'
import { ringPlacer } from '@deos/planner'
import { systemTimers } from '@deos/transport'
import { eq } from 'drizzle-orm'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Database } from '../database/database.ts'
import { aliases, deploymentDetails, logLines } from '../database/schema/index.ts'
import { describeEmbedded } from '../database/testing/databases.ts'
import { routingHandlers } from '../routing/routing-handlers.ts'
import { aliasHandlers } from './alias-handlers.ts'
import { assignmentHandlers } from './assignment-handlers.ts'
import type { StageAssignments } from './assignments.ts'
import { decisionHandlers } from './decision-handlers.ts'
import { deploymentHandlers } from './deployment-handlers.ts'
import type { LiveAnswer } from './live.ts'
import type { LogLine } from './log-lines.ts'
import {
  callerOf,
  found,
  modelOf,
  ours,
  roundTrip,
  TestControl,
  TestWorld,
  theirs,
  wishFor,
} from './testing/world.ts'

describeEmbedded('deployments', (open) => {
  let database: Database
  let world: TestWorld
  let control: TestControl
  const us = callerOf(ours)

  beforeEach(async () => {
    database = await open()
    await found(database)
    world = new TestWorld()
    control = await TestControl.open(database, world)
    await control.feed.refresh()
  })
  afterEach(() => control.stop())

  const wishes = () => control.service.wishes
  const create = async (name = 'chat', replicas = 1): Promise<DeploymentId> =>
    (await wishes().create(wishFor(ours, name, replicas), us)).id
  const handlers = () =>
    deploymentHandlers({ ...control.service.parts, ...control.service, placer: control.service.parts.placer })
      .deployments

  test('one is placed, loaded from the last stage on, verified by a token, and only then routed to', async () => {
    world.machine('one', ours, 70)
    world.machine('two', ours, 70)
    await create()
    await control.service.reconciler.runOnce()
    const [replica] = control.replicas('loading')
    const [first, last] = replica!.stages
    const of = async (stage: typeof first) => {
      const { assignments } = await control.assignments.of(stage!.machine, 1)
      return assignments[0]
    }
    expect(await of(first)).toBeUndefined()
    const before = await of(last)
    expect(before).toMatchObject({ position: 1, stages: 2, wanted: 'run', kvTokens: 10, contextTokens: 10 })
    expect(before!.next).toEqual({ stageId: first!.id, machineId: first!.machine, linkAddress: null })

    await world.machines.get(last!.machine)!.step(control)
    const shown = await of(first)
    expect(shown).toMatchObject({ position: 0, ring: before!.ring, ringSecret: before!.ringSecret })
    expect(shown!.next.linkAddress).toMatch(/^10\.0\.0\.1:\d+$/)
    await control.feed.refresh()
    expect(control.feed.state.targets[0]!.replicas).toEqual([])

    await control.settle()
    await control.feed.refresh()
    const [target] = control.feed.state.targets
    expect(target).toMatchObject({ name: 'chat', organisationId: ours, contextTokens: 10 })
    expect(target!.replicas[0]!.leader).toBe(control.replicas('ready')[0]!.stages[0]!.linkAddress)
    expect(target!.replicas[0]!.tail).toBe(control.replicas('ready')[0]!.stages[1]!.linkAddress)
    expect(control.verified).toBe(1)
  })

  test('rings that say nothing are left as soon as nobody wants them, so that others are asked', async () => {
    for (const name of ['one', 'two', 'three', 'four', 'five']) world.machine(name)
    const silent = await create('silent', 4)
    const step = async () => {
      await control.service.reconciler.runOnce()
      for (const machine of world.machines.values()) await machine.step(control)
    }
    control.silent = true
    for (let round = 0; round < 4; round += 1) await step()
    expect(control.replicas('verifying')).toHaveLength(4)
    control.service.prover.look()
    await wishes().wish({ type: 'scale', deployment: silent, replicas: 0 }, us)
    await step()
    control.silent = false
    await create('chat')
    await control.settle()
    expect(control.replicas('ready')).toHaveLength(1)
    expect(control.verified).toBe(1)
  })

  test('the version of assignments grows with what is assigned, and an address that changes is passed on', async () => {
    world.machine('one', ours, 70)
    world.machine('two', ours, 70)
    await create()
    await control.settle()
    const [first, last] = control.replicas('ready')[0]!.stages
    const version = control.log.assignmentsVersion(first!.machine)
    const machine = world.machines.get(last!.machine)!
    machine.held.set(last!.id, { ...machine.held.get(last!.id)!, linkAddress: '10.0.0.9:9' })
    await machine.step(control)
    const newer = control.log.assignmentsVersion(first!.machine)
    expect(newer).toBeGreaterThan(version)
    const { assignments } = await control.assignments.of(first!.machine, 1)
    expect(assignments[0]!.next.linkAddress).toBe('10.0.0.9:9')
    await machine.step(control)
    expect(control.log.assignmentsVersion(first!.machine)).toBe(newer)
  })

  test('a machine follows its assignments from the newest on, and each change is told once', async () => {
    const machine = world.machine('one')
    const gone = new AbortController()
    const caller = callerOf(ours, { id: machine.id, incarnation: 1 }, gone.signal)
    const broken: unknown[] = []
    const { followAssignments } = assignmentHandlers({
      ...control,
      timers: systemTimers,
      onBroken: (...of) => broken.push(of),
    })
    const events = (followAssignments(request({}), caller) as AsyncIterable<StreamEvent<StageAssignments>>)[
      Symbol.asyncIterator
    ]()
    const next = async () => (await events.next()).value as StreamEvent<StageAssignments>
    expect((await next()).data.assignments).toEqual([])
    const told = next()
    await create()
    await control.service.reconciler.runOnce()
    const { id, data } = await told
    expect(data.assignments).toHaveLength(1)
    expect(id).toBe(String(control.log.assignmentsVersion(machine.id)))
    const end = events.next()
    expect(broken).toEqual([])
    gone.abort()
    expect(await end).toMatchObject({ done: true })
    expect(broken).toEqual([[machine.id, 1]])
  })

  test('a machine that goes is replaced, and the decisions say why', async () => {
    world.machine('one')
    world.machine('two')
    const deployment = await create()
    await control.settle()
    const { machine } = control.replicas('ready')[0]!.stages[0]!
    const gone = world.machines.get(machine)!
    gone.running = false
    gone.standing = 'lost'
    await control.settle()
    const [replica] = control.replicas('ready')
    expect(replica!.stages[0]!.machine).not.toBe(machine)
    const { items } = await decisionHandlers({ database }).decisions.list(
      request({ query: { limit: 50, deployment, kind: ['healing'] } }),
      us,
    )
    const summaries = items.map(({ summary }) => summary)
    expect(summaries).toContain('chat: a replica failed and is placed anew.')
    expect(items.flatMap(({ reasons }) => reasons).join(' ')).toContain('was lost')
    expect(items.flatMap(({ reasons }) => reasons).join(' ')).not.toContain('machine-')
  })

  test('a stage that its machine no longer holds has failed; one that failed to load is tried again', async () => {
    const machine = world.machine('one')
    machine.failing = 1
    await create()
    await control.settle()
    const [replica] = control.replicas('ready')
    expect(replica!.generation).toBe(2)
    machine.held.clear()
    await control.log.onStageReports(machine.id, 1, [], control.log.assignmentsVersion(machine.id))
    expect(control.replicas('failed')).toHaveLength(1)
  })

  test('an old report does not undo what a newer one said', async () => {
    const machine = world.machine('one')
    await create()
    await control.settle()
    await control.log.onStageReports(machine.id, 1, [], 0)
    expect(control.replicas('ready')).toHaveLength(1)
  })

  test('without a token nothing is published, and a machine behind a NAT is named and avoided', async () => {
    const hidden = world.machine('attic', ours, 200)
    hidden.behindNat = true
    const deployment = await create()
    for (let round = 0; round < 3; round += 1) await control.round()
    const { replicas } = await handlers().show(request({ params: { deployment } }), us)
    expect(control.replicas('ready')).toEqual([])
    expect(replicas[0]!.reason.message).toContain('attic tells no address')
    world.machine('cellar')
    await control.settle()
    expect(control.replicas('ready')[0]!.stages[0]!.machine).toBe('machine-cellar')
  })

  test('a rolling update replaces replicas one after the other, and a rollback takes back what still drains', async () => {
    for (const name of ['one', 'two', 'three']) world.machine(name)
    const deployment = await create('chat', 2)
    await control.settle()
    const before = control.replicas('ready').map(({ id }) => id)
    await control.feed.refresh()
    await control.gatewaySays({ [before[0]!]: 1, [before[1]!]: 1 })
    await wishes().revise(deployment, { changes: { precision: 'Q8_0' } }, us)
    for (let round = 0; round < 8; round += 1) {
      await control.round()
      expect(control.replicas('ready').length).toBeGreaterThanOrEqual(2)
      await control.feed.refresh()
      await control.gatewaySays({ [before[0]!]: 1, [before[1]!]: 1 })
    }
    const draining = control.replicas('draining')
    expect(draining.length).toBeGreaterThan(0)
    const answer = await wishes().rollback(deployment, undefined, us)
    expect(answer.activeRevision).toBe(1)
    await control.service.reconciler.runOnce()
    expect(control.replicas('ready').map(({ id }) => id)).toContain(draining[0]!.id)
    const { items } = await handlers().revisions(
      request({ params: { deployment }, query: { limit: 10 } }),
      us,
    )
    expect(items.map(({ number, active, createdBy }) => [number, active, createdBy])).toEqual([
      [2, false, 'user-1'],
      [1, true, 'user-1'],
    ])
  })

  test('a replica that drains goes when gateways that know of it have nothing open there', async () => {
    world.machine('one')
    const deployment = await create()
    await control.settle()
    await control.feed.refresh()
    const routed = control.feed.version
    const [replica] = control.replicas('ready')
    await wishes().wish({ type: 'pause', deployment, reason: 'night' }, us)
    await control.service.reconciler.runOnce()
    await control.gatewaySays({}, routed)
    await control.service.drains.look()
    expect(control.replicas('draining')).toHaveLength(1)

    await control.feed.refresh()
    expect(control.feed.version).toBeGreaterThan(routed)
    world.nowMs += 1000
    await control.gatewaySays({ [replica!.id]: 1 })
    await control.service.drains.look()
    expect(control.replicas('draining')).toHaveLength(1)

    world.nowMs += 1000
    await control.gatewaySays({})
    await control.service.drains.look()
    expect(control.replicas('draining')).toEqual([])
    await control.settle()
    expect([...promisedStages(control.log.state)]).toEqual([])
    await wishes().wish({ type: 'resume', deployment }, us)
    await control.settle()
    expect(control.replicas('ready')).toHaveLength(1)
  })

  test('a drain that begins while the routing is worked out is a part of its version', async () => {
    world.machine('one')
    const deployment = await create()
    await control.settle()
    await control.feed.refresh()
    const refresh = control.log.refresh.bind(control.log)
    vi.spyOn(control.log, 'refresh').mockImplementationOnce(async () => {
      await wishes().wish({ type: 'pause', deployment, reason: 'night' }, us)
      await control.service.reconciler.runOnce()
      await refresh()
    })
    await control.feed.refresh()
    await control.feed.refresh()
    world.nowMs += 1000
    await control.gatewaySays({})
    await control.service.drains.look()
    expect(control.replicas('draining')).toEqual([])
  })

  test('names of requests belong to one deployment or alias, and are free again when it is gone', async () => {
    world.machine('one')
    const deployment = await create()
    const { aliases: named } = aliasHandlers({
      wishes: wishes(),
      database,
      events: control.store,
      now: () => control.now(),
    })
    const conflict = expect.objectContaining({ problem: 'conflict' })
    await expect(wishes().create({ ...wishFor(ours, 'other'), servedAs: 'chat' }, us)).rejects.toEqual(
      conflict,
    )
    await named.set(request({ params: { alias: 'gpt' }, body: { deploymentId: deployment } }), us)
    await expect(wishes().create({ ...wishFor(ours, 'other'), servedAs: 'gpt' }, us)).rejects.toEqual(
      conflict,
    )
    await expect(
      named.set(request({ params: { alias: 'chat' }, body: { deploymentId: deployment } }), us),
    ).rejects.toEqual(conflict)
    await control.feed.refresh()
    expect(control.feed.state.targets[0]!.aliases).toEqual(['gpt'])

    await wishes().wish({ type: 'remove', deployment, reason: 'done' }, us)
    await control.settle()
    expect(control.deployments).toEqual([])
    expect(await database.queries.select().from(aliases)).toEqual([])
    const [details] = await database.queries
      .select()
      .from(deploymentDetails)
      .where(eq(deploymentDetails.id, deployment))
    expect(details!.removedAt).not.toBeNull()
    await create()
  })

  test('organisations share neither machines nor names nor sight of each other', async () => {
    world.machine('ours', ours, 240)
    world.machine('theirs', theirs, 120)
    const deployment = await create('chat', 2)
    await wishes().create(wishFor(theirs, 'chat', 2), callerOf(theirs))
    await control.settle()
    for (const { organisation, replicas } of control.deployments) {
      for (const { stages } of replicas) {
        for (const { machine } of stages) expect(world.machines.get(machine)!.organisation).toBe(organisation)
      }
    }
    expect(control.replicas('ready')).toHaveLength(3)
    const missing = expect.objectContaining({ problem: 'not-found' })
    await expect(wishes().of(deployment, callerOf(theirs))).rejects.toEqual(missing)
    const wish = wishFor(ours, 'mine')
    wish.spec.modelId = modelOf(theirs)
    await expect(wishes().create(wish, us)).rejects.toEqual(missing)
    const { items } = await handlers().list(request({ query: { limit: 50 } }), callerOf(theirs))
    expect(items.map(({ replicas }) => replicas.ready)).toEqual([1])
    expect(items[0]!.state).toBe('lacking')
  })

  test('a spec that makes no sense for the model is refused, one whose model is on its way waits', async () => {
    world.machine('one')
    const long = wishFor(ours, 'long')
    await expect(wishes().create({ ...long, spec: { ...long.spec, contextTokens: 11 } }, us)).rejects.toThrow(
      'was made for 10',
    )
    await expect(
      wishes().create({ ...long, spec: { ...long.spec, precision: 'Q4_K' } }, us),
    ).rejects.toBeInstanceOf(ProblemError)
    world.modelsReady = false
    await create()
    await control.settle()
    expect(control.replicas('placing')).toHaveLength(1)
    world.modelsReady = true
    await control.settle()
    expect(control.replicas('ready')).toHaveLength(1)
  })

  test('a preview says where it would go and what that would cost', async () => {
    const one = world.machine('one')
    const two = world.machine('two')
    world.prices.set(one.id, { currency: 'USD', microUnits: '100' })
    world.prices.set(two.id, { currency: 'USD', microUnits: '20' })
    const { spec } = wishFor(ours, 'chat')
    const ask = (min: number) =>
      handlers().preview(request({ body: { spec: { ...spec, replicas: { min, max: 4 } } } }), us)
    expect(await ask(2)).toMatchObject({
      fittingReplicas: 2,
      kvTokens: 10,
      pricePerHour: { currency: 'USD', microUnits: '120' },
    })
    const tooMany = await ask(3)
    expect(tooMany).toMatchObject({ fittingReplicas: 2, pricePerHour: null })
    expect(tooMany.reasons.join(' ')).toContain('short')
    expect(control.deployments).toEqual([])
  })

  describe('with replicas that compute prompts', () => {
    const split = { prefillReplicas: 1, kvQuality: 'guarded' as const }
    const wish = () => {
      const { spec, ...rest } = wishFor(ours, 'chat')
      return { ...rest, spec: { ...spec, split } }
    }
    const show = (deployment: DeploymentId) => handlers().show(request({ params: { deployment } }), us)

    test('both are shown and routed to, with all that a hand-over takes', async () => {
      for (const name of ['one', 'two', 'three']) world.machine(name, ours, 70)
      world.machine('four', ours, 70)
      const { id } = await wishes().create(wish(), us)
      await control.settle()
      const { deployment, replicas } = await show(id)
      expect(deployment).toMatchObject({
        ...{ state: 'ready', replicas: { wanted: 1, ready: 1 }, prefillReplicas: { wanted: 1, ready: 1 } },
        spec: { split },
      })
      expect(replicas.map(({ role }) => role).sort()).toEqual(['decode', 'prefill'])
      await control.feed.refresh()
      const [target] = control.feed.state.targets
      expect(target!.split).toEqual(split)
      expect(target!.replicas.map(({ role }) => role).sort()).toEqual(['decode', 'prefill'])
      for (const { stages, leader, tail } of target!.replicas) {
        expect([stages[0], stages.at(-1)]).toEqual([leader, tail])
        expect(stages).toHaveLength(2)
      }
    })

    test('one that has no place is told of, and nobody waits for it', async () => {
      world.machine('one')
      const { id } = await wishes().create(wish(), us)
      await control.settle()
      const { deployment, replicas } = await show(id)
      expect(deployment).toMatchObject({
        state: 'lacking',
        replicas: { ready: 1 },
        prefillReplicas: { ready: 0 },
      })
      expect(replicas.map(({ role, state }) => [role, state])).toEqual([
        ['decode', 'ready'],
        ['prefill', 'placing'],
      ])
      await wishes().revise(id, { changes: { split: null } }, us)
      await control.settle()
      const after = await show(id)
      expect(after.deployment).toMatchObject({ state: 'ready', spec: { split: null } })
      expect(after.replicas).toMatchObject([{ id: replicas[0]!.id, role: 'both' }])
      await control.feed.refresh()
      expect(control.feed.state.targets).toMatchObject([{ split: null, replicas: [{ role: 'both' }] }])
    })

    test('placers are told where the others are, in previews as in earnest, and what they predict is shown', async () => {
      for (const name of ['one', 'two', 'three']) world.machine(name)
      const asked: PlacementRequest[] = []
      const forecast = {
        ttftMs: ms(50),
        tpotMs: null,
        tokensPerSecond: tokensPerSecond(900),
        handOverMs: ms(7),
      }
      world.placer = {
        place: (of, room) => {
          asked.push(of)
          const { placement, reasons } = ringPlacer.place(of, room)
          if (placement === null || of.work !== 'prefill') return { placement, reasons }
          return { placement: { ...placement, forecast }, reasons }
        },
      }
      const told = () =>
        asked
          .splice(0)
          .map(({ work = 'decode', partners }) => [work, partners?.map(([stage]) => stage!.machine)])
      const { spec } = wish()
      const shown = await handlers().preview(request({ body: { spec } }), us)
      const [prefill, decode] = [shown.prefillPlacement, shown.placement].map(
        (each) => each!.stages[0]!.machineId,
      )
      const expected = [
        ['prefill', undefined],
        ['decode', [prefill]],
        ['prefill', [decode]],
      ]
      expect(told()).toEqual(expected)
      const { id } = await wishes().create(wish(), us)
      await control.settle()
      // Decisions are made again before they are stored.
      expect(told().slice(-3)).toEqual(expected)
      const { replicas } = await show(id)
      const predicted = Object.fromEntries(replicas.map((replica) => [replica.role, replica.predicted]))
      expect(predicted).toEqual({ decode: null, prefill: forecast })
      world.machines.get(prefill as MachineId)!.standing = 'lost'
      world.changed()
      await control.settle()
      expect(told().at(-1)).toEqual(['prefill', [decode]])
    })

    test('a preview shows both on machines of their own, and the price of all', async () => {
      for (const [index, name] of ['one', 'two'].entries()) {
        world.prices.set(world.machine(name).id, { currency: 'USD', microUnits: String(10 ** index) })
      }
      const { spec } = wish()
      const ask = () => handlers().preview(request({ body: { spec } }), us)
      const both = await ask()
      const machine = (placement: typeof both.placement) => placement?.stages[0]?.machineName
      expect([machine(both.placement), machine(both.prefillPlacement)].sort()).toEqual(['one', 'two'])
      expect(both.pricePerHour).toEqual({ currency: 'USD', microUnits: '11' })
      await create()
      await control.settle()
      expect(await ask()).toMatchObject({ placement: {}, prefillPlacement: null, pricePerHour: null })
    })
  })

  test('what rings do is told live: rates, KV, links as they are felt or else as they were measured', async () => {
    const machines = [world.machine('one', ours, 70), world.machine('two', ours, 70)]
    const [one, two] = machines.map(({ id }) => id)
    world.links.push(roundTrip(one!, two!, 7), roundTrip(two!, one!, 7))
    const deployment = await create()
    await control.settle()
    const [first] = control.replicas('ready')[0]!.stages
    const machine = world.machines.get(first!.machine)!
    const said = { activeSessions: 3, kvUsedTokens: tokens(6), busyFraction: 0.5, nextRoundTripMs: ms(2) }
    machine.held.set(first!.id, { ...machine.held.get(first!.id)!, ...said })
    await machine.step(control)
    const gone = new AbortController()
    const live = handlers().live(request({ params: { deployment } }), callerOf(ours, null, gone.signal))
    for await (const { data } of live as AsyncIterable<StreamEvent<LiveAnswer>>) {
      expect(data.replicas[0]).toMatchObject({
        activeSessions: 3,
        kvUsedTokens: 6,
        kvCapacityTokens: 10,
        stages: [{ busyFraction: 0.5, linkRoundTripMs: 2 }, { linkRoundTripMs: 7 }],
      })
      gone.abort()
    }
    expect(gone.signal.aborted).toBe(true)
  })

  test('log lines are read newest first, and followed without a gap or a repeat', async () => {
    const deployment = await create()
    const write = (level: 'debug' | 'warn', ...messages: readonly string[]) =>
      database.transaction(async (queries) => {
        const about = { organisationId: ours, deploymentId: deployment, level, at: control.now() }
        await queries.insert(logLines).values(messages.map((message) => ({ ...about, message })))
        await database.notify(queries, 'logs')
      })
    await write('warn', 'first', 'second', 'third')
    await write('debug', 'whisper')
    const page = await handlers().logs(
      request({ params: { deployment }, query: { limit: 2, level: 'info' } }),
      us,
    )
    expect(page.items.map(({ message }) => message)).toEqual(['third', 'second'])
    const gone = new AbortController()
    const follow = handlers().followLogs(
      request({ params: { deployment }, lastEventId: String(page.items[1]!.sequence) }),
      callerOf(ours, null, gone.signal),
    )
    const seen: string[] = []
    for await (const { data } of follow as AsyncIterable<StreamEvent<LogLine>>) {
      seen.push(data.message)
      if (data.message === 'whisper') await write('warn', 'fourth')
      if (data.message === 'fourth') gone.abort()
    }
    expect(seen).toEqual(['third', 'whisper', 'fourth'])
  })

  test('gateways follow the routing: what is there at once, then each change', async () => {
    world.machine('one')
    await control.feed.start()
    const gone = new AbortController()
    const { followRouting } = routingHandlers({ feed: control.feed, timers: systemTimers })
    const states = followRouting(request({}), callerOf(ours, null, gone.signal))
    let told = 0
    for await (const { data } of states as AsyncIterable<StreamEvent<RoutingState>>) {
      told += 1
      if (told === 1) {
        expect(data.targets).toEqual([])
        await create()
        await control.settle()
      } else if (data.targets[0]?.replicas.length === 1) {
        const { accessVersion } = data
        gone.abort()
        await database.transaction((queries) => database.notify(queries, 'routing'))
        await vi.waitFor(() => expect(control.feed.state.accessVersion).toBeGreaterThan(accessVersion))
      }
    }
    await control.feed.stop()
    expect(gone.signal.aborted).toBe(true)
  })

  test('health needs a token of late; rings that nobody uses are asked for one', async () => {
    const machine = world.machine('one')
    expect(control.service.activity.healthOf().ok).toBe(false)
    await create()
    await control.settle()
    expect(control.service.activity.healthOf()).toMatchObject({ ok: true, reasons: [] })
    control.noToken = 'silence'
    world.nowMs += 60_000
    control.service.prover.look()
    await control.service.prover.whenIdle()
    expect(control.service.activity.healthOf().ok).toBe(false)

    const say = (generatedTokens: number) => {
      world.nowMs += 1000
      for (const [id, stage] of machine.held)
        machine.held.set(id, { ...stage, generatedTokens: generatedTokens as never })
      world.reports.set(machine.id, machine.report(world.nowMs))
      control.service.activity.sample()
    }
    say(10)
    say(30)
    const [replica] = control.replicas('ready')
    expect(control.service.activity.tokensPerSecond(replica!)).toBe(20)
    expect(control.service.activity.healthOf().ok).toBe(true)
    expect(control.service.activity.samples()[0]!.values).toMatchObject({ tokens_per_second: 20 })
    say(5)
    expect(control.service.activity.tokensPerSecond(replica!)).toBe(5)
    world.nowMs += 10_000
    expect(control.service.activity.tokensPerSecond(replica!)).toBe(0)
  })
})

/** What the server's side of a route is given; the schemas have their own tests. */
const request = <T extends object>(given: T) =>
  ({ params: {}, query: {}, body: {}, idempotencyKey: null, lastEventId: null, ...given }) as never
