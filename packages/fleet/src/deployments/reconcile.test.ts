import { bytes, type DeploymentId, type MachineId, type PlacementRequest, type StageId } from '@deos/domain'
import { beforeEach, describe, expect, test } from 'vitest'
import { publishedReplicas, type Replica, strayStages } from './deployment.ts'
import type { DeploymentSpec } from './deployment-spec.ts'
import { deploymentStatus } from './deployment-status.ts'
import { foldDeployments } from './evolve-deployments.ts'
import { reconcile } from './reconcile.ts'
import { restoreDeployments, storeDeployments } from './stored-deployments.ts'
import { answer, Control, organisation, plainSpec, project, sixLayers } from './testing/control.ts'
import { firstFitPlacer } from './testing/first-fit-placer.ts'

let control: Control

beforeEach(() => {
  control = new Control()
})

const create = (replicas = 1, change: Partial<DeploymentSpec> = {}, name = 'chat'): DeploymentId => {
  const spec = { ...plainSpec, ...change }
  return control.tell({ type: 'create', organisation, project, name, spec, replicas })[0]!.deployment
}

const machinesOf = ({ stages }: Replica): readonly MachineId[] => stages.map(({ machine }) => machine)
const sentence = () => deploymentStatus(control.only).sentence
const condition = () => deploymentStatus(control.only).condition
const actions = () => control.reconcile().actions
const actionTypes = () => actions().map(({ type }) => type)

/** Machines that hold one replica each. */
const machines = (count: number) => {
  for (let index = 1; index <= count; index += 1) control.machine(`m${index}`)
}

describe('the life of a replica', () => {
  test('the last stage loads first, and each next one once the one behind it has begun', () => {
    for (const name of ['m1', 'm2', 'm3']) control.machine(name, { freeBytes: 40 })
    create()
    const loads = () => actions().flatMap((action) => (action.type === 'load' ? [action.position] : []))
    expect(loads()).toEqual([2])
    const [replica] = control.only.replicas
    const of = { deployment: control.only.id, replica: replica!.id, generation: 1 }
    control.tell({ type: 'stageProgress', ...of, stage: replica!.stages[2]!.id, fraction: 0 })
    expect(loads()).toEqual([1])
    control.tell({ type: 'stageLoaded', ...of, stage: replica!.stages[1]!.id })
    expect(loads()).toEqual([0])
    expect(sentence()).toBe(`0 of 1 replica ready. ${replica!.id} loads: 1 of 3 stages are there.`)
  })

  test('it is published only after a token came out of it', () => {
    machines(1)
    create()
    control.step('load')
    expect(control.only.replicas[0]!.phase).toBe('verifying')
    expect(publishedReplicas(control.state)).toEqual([])
    expect(actionTypes()).toEqual(['verify'])
    control.step('verify')
    expect(publishedReplicas(control.state)).toHaveLength(1)
    expect(actionTypes()).toEqual(['publish'])
    expect(deploymentStatus(control.only)).toMatchObject({
      condition: 'ready',
      desired: 1,
      ready: 1,
      updated: 1,
    })
    expect(sentence()).toBe('Its replica is ready at revision 1.')
  })

  test('replicas do not share machines as long as there are others', () => {
    control.machine('m1', { freeBytes: 240 })
    control.machine('m2')
    create(2)
    control.settle()
    expect(control.replicas('ready').flatMap(machinesOf).sort()).toEqual(['m1', 'm2'])
  })

  test('each failure in a row waits twice as long, a stable time ends the row', () => {
    machines(1)
    create()
    const waits: number[] = []
    const fail = () => {
      control.reconcile()
      const [replica] = control.only.replicas
      const { id, generation, stages } = replica!
      const about = { deployment: control.only.id, replica: id, generation, stage: stages[0]!.id }
      control.tell({ type: 'stageFailed', ...about, reason: 'disk' })
      waits.push(control.only.replicas[0]!.failure!.retryAtMs - control.nowMs)
      control.step('unload')
      expect(control.only.replicas[0]!.phase).toBe('failed')
      control.pass(waits.at(-1)!)
    }
    for (let round = 0; round < 3; round += 1) fail()
    expect(condition()).toBe('failing')
    expect(sentence()).toContain('failed 3 times in a row, last: Layers [0, 6) failed on m1: disk')
    control.settle()
    control.pass(599_999)
    fail()
    control.settle()
    control.pass(600_000)
    fail()
    expect(waits).toEqual([1000, 2000, 4000, 8000, 1000])
  })

  test('loading that stands still, verifying and draining end by themselves', () => {
    machines(1)
    create()
    control.reconcile()
    control.pass(299_999)
    control.reconcile()
    expect(control.only.replicas[0]!.phase).toBe('loading')
    const { wakeAtMs } = control.reconcile()
    expect(wakeAtMs).toBe(control.nowMs + 1)
    control.pass(1)
    control.reconcile()
    expect(control.only.replicas[0]!.failure?.reason).toBe(
      'Loading layers [0, 6) on m1 made no progress for 300 s.',
    )
    control.step('unload')
    control.pass(1000)
    control.step('load')
    expect(control.only.replicas[0]!.phase).toBe('verifying')
    control.pass(60_000)
    control.reconcile()
    expect(control.only.replicas[0]!.failure?.reason).toBe('No token came out of it in 60 s.')
    control.step('unload')
    control.pass(2000)
    control.settle()
    control.tell({ type: 'scale', deployment: control.only.id, replicas: 0 })
    expect(actionTypes()).toEqual(['unpublish', 'drain'])
    control.pass(600_000)
    expect(actionTypes()).toEqual(['unload'])
    expect(control.only.replicas).toEqual([])
  })
})

describe('capacity', () => {
  test('what does not fit says why and is tried again when the fleet changes', () => {
    control.machine('m1', { freeBytes: 60 })
    create()
    control.reconcile()
    expect(deploymentStatus(control.only)).toMatchObject({ condition: 'lacking', ready: 0, updating: 1 })
    expect(sentence()).toBe('0 of 1 replica ready. No place for the rest: 3 of 6 layers have a place.')
    const before = control.events.length
    control.pass(500)
    control.machine('m2', { freeBytes: 60 })
    const { wakeAtMs } = control.reconcile()
    expect(control.events).toHaveLength(before)
    expect(wakeAtMs).toBe(control.nowMs + 500)
    control.pass(500)
    control.settle()
    expect(condition()).toBe('ready')
  })

  test('an unchanged fleet is tried again ever more rarely', () => {
    control.machine('m1', { freeBytes: 60 })
    create()
    let { wakeAtMs } = control.reconcile()
    const gaps: number[] = []
    for (let round = 0; round < 5; round += 1) {
      gaps.push(wakeAtMs! - control.nowMs)
      control.pass(wakeAtMs! - control.nowMs)
      const result = control.reconcile()
      expect(result.events.map(({ type }) => type)).toEqual(['placementRefused'])
      wakeAtMs = result.wakeAtMs
    }
    expect(gaps).toEqual([30_000, 60_000, 120_000, 240_000, 300_000])
  })

  test('memory is promised once, also to stages that are still leaving', () => {
    machines(1)
    create()
    create(1, {}, 'other')
    control.settle()
    expect(control.replicas('ready')).toHaveLength(1)
    const [first] = control.state.deployments.keys()
    control.tell({ type: 'remove', deployment: first!, reason: 'done' })
    control.step('drain')
    control.pass(1000)
    expect(actionTypes()).toEqual(['unload'])
    expect(control.replicas('placing')).toHaveLength(1)
    control.pass(1000)
    control.settle()
    expect(control.only.name).toBe('other')
    expect(condition()).toBe('ready')
  })

  test('a model of unknown size waits until it is known', () => {
    machines(1)
    control.footprint = () => null
    create()
    control.settle()
    expect(sentence()).toContain('The sizes of model-a as native are not known yet.')
    control.footprint = () => sixLayers
    control.pass(1000)
    control.settle()
    expect(condition()).toBe('ready')
  })

  test('only open machines take new stages, closed ones keep theirs', () => {
    machines(2)
    control.machine('m2', { standing: 'closed' })
    create(2)
    control.settle()
    expect(control.replicas('ready').flatMap(machinesOf)).toEqual(['m1'])
    control.machine('m1', { standing: 'closed' })
    control.pass(1000)
    control.settle()
    expect(control.replicas('ready')).toHaveLength(1)
  })

  test('a placement that takes more than there is is a bug of the placer', () => {
    machines(1)
    create()
    control.placer = {
      place(request, fleet) {
        const generous = fleet.candidates.map((candidate) => ({ ...candidate, freeBytes: bytes(1000) }))
        return firstFitPlacer.place(request, { candidates: generous, links: [] })
      },
    }
    control.machine('m1', { freeBytes: 100 })
    expect(() => control.reconcile()).toThrow('takes 120 bytes of 100 on m1/CPU')
  })
})

describe('updates', () => {
  const published = () => control.replicas('ready').length

  /** Settles step by step and returns the fewest replicas that were published meanwhile. */
  const fewestPublished = (): number => {
    let fewest = published()
    for (let round = 0; round < 100; round += 1) {
      const { events, actions: open } = control.reconcile()
      fewest = Math.min(fewest, published())
      expect(control.only.replicas.filter(({ phase }) => phase !== 'draining').length).toBeLessThanOrEqual(
        control.only.desiredReplicas + 1,
      )
      let told = 0
      for (const fact of open.flatMap(answer)) {
        told += control.tell(fact).length
        fewest = Math.min(fewest, published())
      }
      control.pass(1000)
      if (events.length + told === 0 && control.only.refusal === null) return fewest
    }
    throw new Error('It does not settle.')
  }

  test('new replicas are ready before old ones drain, with one to spare', () => {
    machines(4)
    const deployment = create(3)
    control.settle()
    control.tell({
      type: 'revise',
      deployment,
      changes: { sessions: 1, contextTokens: plainSpec.contextTokens, precision: 'Q8_0' },
    })
    expect(fewestPublished()).toBe(3)
    expect(control.replicas('ready').map(({ revision }) => revision)).toEqual([2, 2, 2])
    expect(control.only.leaving).toEqual([])
  })

  test('a revision that differs only in bounds and targets reuses what runs', () => {
    machines(2)
    const deployment = create(2)
    control.settle()
    const before = control.only.replicas
    control.tell({
      type: 'revise',
      deployment,
      changes: { maxReplicas: 3, target: { tokensPerSecond: 5 as never } },
    })
    control.settle()
    expect(control.only.replicas).toEqual(before)
    expect(deploymentStatus(control.only)).toMatchObject({ condition: 'ready', updated: 2 })
  })

  test('without room for a spare one goes first, and the status says so', () => {
    machines(2)
    const deployment = create(2)
    control.settle()
    control.tell({ type: 'revise', deployment, changes: { precision: 'Q8_0' } })
    control.reconcile()
    expect(control.replicas('draining')).toHaveLength(1)
    expect(published()).toBe(1)
    expect(sentence()).toContain(
      'One replica stops before revision 2 has taken over: there is no room for a spare.',
    )
    control.step('drain')
    control.step('unload')
    control.pass(1000)
    expect(fewestPublished()).toBeGreaterThanOrEqual(0)
    control.pass(1000)
    control.settle()
    control.pass(1000)
    control.settle()
    expect(condition()).toBe('ready')
    expect(control.replicas('ready').map(({ revision }) => revision)).toEqual([2, 2])
    expect(control.only.squeeze).toBeNull()
  })

  test('a revision that cannot fit at all costs nothing that runs', () => {
    machines(2)
    const deployment = create(2)
    control.settle()
    control.tell({ type: 'revise', deployment, changes: { regions: ['moon'] } })
    control.settle()
    expect(deploymentStatus(control.only)).toMatchObject({ condition: 'lacking', ready: 2, updated: 0 })
    expect(sentence()).toContain('2 of 2 replicas ready, 0 of them at revision 2. No place for the next:')
    control.tell({ type: 'rollback', deployment, revision: 1 })
    control.settle()
    expect(condition()).toBe('ready')
  })

  test('a revision that never loads leaves the old replicas alone', () => {
    machines(3)
    const deployment = create(2)
    control.settle()
    control.tell({ type: 'revise', deployment, changes: { precision: 'Q8_0' } })
    control.reconcile()
    const [loading] = control.replicas('loading')
    const about = { deployment, replica: loading!.id, generation: 1, stage: loading!.stages[0]!.id }
    control.tell({ type: 'stageFailed', ...about, reason: 'not a model' })
    control.reconcile()
    expect(published()).toBe(2)
    expect(condition()).toBe('failing')
  })

  test('a rollback takes back replicas that still drain', () => {
    machines(4)
    const deployment = create(2)
    control.settle()
    const old = control.only.replicas.map(({ id }) => id)
    control.tell({ type: 'revise', deployment, changes: { precision: 'Q8_0' } })
    for (let round = 0; round < 4; round += 1) control.step('load', 'verify')
    expect(control.replicas('draining').map(({ id }) => id)).toEqual(old)
    const [draining] = control.replicas('draining')
    control.tell({ type: 'rollback', deployment, revision: 1 })
    control.reconcile()
    expect(control.replicas('ready').map(({ id }) => id)).toEqual(old)
    expect(control.replicas('draining').map(({ revision }) => revision)).toEqual([2, 2])
    // What was said of the drain that was taken back.
    expect(control.tell({ type: 'drained', deployment, replica: draining!.id, drain: 1 })).toEqual([])
    control.settle()
    expect(control.only.replicas.map(({ id }) => id)).toEqual(old)
  })

  test('scaling down drains the newest, scaling up at once takes it back', () => {
    machines(3)
    const deployment = create(3)
    control.settle()
    const [first, second, third] = control.only.replicas
    control.tell({ type: 'scale', deployment, replicas: 2 })
    control.reconcile()
    expect(control.replicas('draining').map(({ id }) => id)).toEqual([third!.id])
    control.tell({ type: 'scale', deployment, replicas: 3 })
    control.reconcile()
    expect(control.replicas('ready').map(({ id }) => id)).toEqual([first!.id, second!.id, third!.id])
    control.tell({ type: 'scale', deployment, replicas: 2 })
    control.reconcile()
    const drained = (drain: number) =>
      control.tell({ type: 'drained', deployment, replica: third!.id, drain })
    expect(drained(1)).toEqual([])
    expect(drained(2).map(({ type }) => type)).toEqual(['replicaGone'])
  })
})

describe('machines that go', () => {
  test('a replica is unpublished at once, placed elsewhere, and the rest of it unloaded', () => {
    for (const name of ['m1', 'm2']) control.machine(name, { freeBytes: 60 })
    control.machine('m3', { freeBytes: 50, standing: 'closed' })
    create()
    control.settle()
    expect(machinesOf(control.only.replicas[0]!)).toEqual(['m1', 'm2'])
    control.machine('m3', { freeBytes: 120, standing: 'open' })
    control.machine('m2', { standing: 'lost', reason: 'no heartbeat' })
    const now = actions()
    expect(publishedReplicas(control.state)).toEqual([])
    expect(now.map(({ type }) => type)).toEqual(['unpublish', 'unload', 'load'])
    expect(machinesOf(control.only.replicas[0]!)).toEqual(['m3'])
    expect(control.only.leaving.map(({ machine }) => machine)).toEqual(['m1'])
    expect(sentence()).toContain('Before, it failed: m2 was lost: no heartbeat')
    control.settle()
    expect(condition()).toBe('ready')
    expect(control.only.leaving).toEqual([])
  })

  test('the placer hears where weights still are, as long as they are those of the active revision', () => {
    for (const name of ['m1', 'm2', 'm3', 'm4', 'm5', 'm6', 'm7']) control.machine(name, { freeBytes: 40 })
    const asked: PlacementRequest[] = []
    control.placer = {
      place: (request, fleet) => {
        asked.push(request)
        return firstFitPlacer.place(request, fleet)
      },
    }
    create()
    control.settle()
    const held = control.only.replicas[0]!.stages.map(({ machine, device, layers }) => ({
      ...{ machine, device, layers },
    }))
    expect(held).toHaveLength(3)
    expect(asked.map((request) => request.held)).toEqual([undefined])
    control.machine('m2', { standing: 'lost', reason: 'no heartbeat' })
    control.reconcile()
    expect(asked.slice(1).map((request) => request.held)).toEqual([held])
    // The next one has loaded nothing yet when it fails.
    control.machine(machinesOf(control.only.replicas[0]!)[0]!, { standing: 'lost', reason: 'no heartbeat' })
    control.reconcile()
    expect(asked.at(-1)!.held).toEqual([])
    expect(foldDeployments(control.events)).toEqual(control.state)
  })

  test('the lost machine is avoided even if it is back at once', () => {
    machines(2)
    create()
    control.settle()
    const [machine] = machinesOf(control.only.replicas[0]!)
    control.machine(machine!, { incarnation: 2 })
    control.settle()
    expect(machinesOf(control.only.replicas[0]!)).not.toContain(machine)
    expect(control.only.leaving).toEqual([])
  })

  test('a machine that left the fleet is lost', () => {
    machines(1)
    create()
    control.settle()
    control.machines.clear()
    control.reconcile()
    expect(control.only.replicas[0]!.failure?.reason).toBe('m1 is no longer a part of the fleet.')
  })

  test('replicas move from a draining machine before they drain', () => {
    machines(2)
    create()
    control.settle()
    const [machine] = machinesOf(control.only.replicas[0]!)
    control.machine(machine!, { standing: 'draining', reason: 'maintenance' })
    control.step('load')
    expect(control.replicas('ready').flatMap(machinesOf)).toEqual([machine])
    control.step('verify')
    const [draining] = control.replicas('draining')
    expect(draining!.drain).toMatchObject({ cause: 'machine', reason: `${machine} drains: maintenance` })
    expect(control.replicas('ready')).toHaveLength(1)
    control.settle()
    expect(control.only.replicas.flatMap(machinesOf)).not.toContain(machine)
    expect(control.only.leaving).toEqual([])
  })

  test('with nowhere to go a replica stays on the draining machine and says why', () => {
    machines(1)
    create()
    control.settle()
    control.machine('m1', { standing: 'draining', reason: 'maintenance' })
    control.settle()
    expect(control.replicas('ready')).toHaveLength(1)
    expect(deploymentStatus(control.only)).toMatchObject({ condition: 'lacking', ready: 1 })
    control.machine('m1', { standing: 'open', reason: '' })
    control.settle()
    expect(condition()).toBe('ready')
    expect(control.only.replicas).toHaveLength(1)
  })

  test('a draining replica that loses a machine is gone', () => {
    machines(1)
    const deployment = create()
    control.settle()
    control.tell({ type: 'scale', deployment, replicas: 0 })
    control.reconcile()
    control.machine('m1', { standing: 'lost', reason: 'power' })
    control.reconcile()
    expect(control.only.replicas).toEqual([])
    expect(control.only.leaving).toEqual([])
    expect(sentence()).toBe('Scaled to none.')
  })

  test('stages that nobody speaks of any more are strays', () => {
    machines(1)
    create()
    control.settle()
    const [stage] = control.only.replicas[0]!.stages
    const unknown = 'stage-of-before' as StageId
    expect(strayStages(control.state, stage!.machine, [stage!.id, unknown])).toEqual([unknown])
    expect(strayStages(control.state, 'm2' as MachineId, [stage!.id])).toEqual([stage!.id])
  })
})

describe('pause and removal', () => {
  test('a paused deployment gives everything back and returns', () => {
    machines(2)
    const deployment = create(2)
    control.settle()
    control.tell({ type: 'pause', deployment, reason: 'nights are quiet' })
    control.reconcile()
    expect(sentence()).toBe('Paused: nights are quiet (2 still to finish)')
    control.settle()
    expect(control.only).toMatchObject({ replicas: [], leaving: [] })
    control.tell({ type: 'resume', deployment })
    control.settle()
    expect(control.replicas('ready')).toHaveLength(2)
  })

  test('a removed deployment is gone once everything is drained and unloaded', () => {
    machines(2)
    const deployment = create(2)
    control.settle()
    control.tell({ type: 'remove', deployment, reason: 'no longer needed' })
    control.step('drain')
    expect(sentence()).toBe('Being removed: no longer needed (unloading on m1, m2)')
    control.step('unload')
    expect(control.state.deployments.size).toBe(0)
    expect(actions()).toEqual([])
  })

  test('removal drops at once what was not ready', () => {
    machines(1)
    const deployment = create()
    control.reconcile()
    control.tell({ type: 'remove', deployment, reason: 'a mistake' })
    expect(actionTypes()).toEqual(['unload'])
  })
})

describe('state', () => {
  test('a second run with the same input does nothing new and wants the same', () => {
    machines(3)
    const deployment = create(2)
    for (let round = 0; round < 12; round += 1) {
      if (round === 5) control.tell({ type: 'revise', deployment, changes: { precision: 'Q8_0' } })
      const first = control.reconcile()
      const second = reconcile(first.state, control.input())
      expect(second.events).toEqual([])
      expect(second.actions).toEqual(first.actions)
      expect(second.wakeAtMs).toEqual(first.wakeAtMs)
      const [action] = first.actions.flatMap(answer)
      if (action) control.tell(action)
    }
  })

  test('it comes back from JSON and from its events', () => {
    machines(2)
    create(2)
    control.settle()
    const stored = JSON.parse(JSON.stringify(storeDeployments(control.state)))
    expect(restoreDeployments(stored)).toEqual(control.state)
    expect(foldDeployments(JSON.parse(JSON.stringify(control.events)))).toEqual(control.state)
    expect(restoreDeployments({ ...stored, format: 0 })).toBeNull()
  })

  test('an event of a deployment that never was is a bug', () => {
    const event = { type: 'deploymentResumed', deployment: 'x' as DeploymentId, atMs: control.nowMs } as const
    expect(() => foldDeployments([event])).toThrow('never created')
  })
})
