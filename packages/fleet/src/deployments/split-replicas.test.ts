import type { PlacementRequest } from '@deos/domain'
import { expect, test } from 'vitest'
import { publishedReplicas, type Replica } from './deployment.ts'
import type { DeploymentSpec } from './deployment-spec.ts'
import { deploymentStatus } from './deployment-status.ts'
import type { ReplicaRole } from './replica-role.ts'
import type { KvQuality, SplitPolicy } from './split-policy.ts'
import { Control, organisation, plainSpec, project } from './testing/control.ts'

const lossless = (prefillReplicas: number): SplitPolicy => ({ prefillReplicas, kvQuality: 'lossless' })

function started(machines: readonly string[], split: SplitPolicy | null, replicas = 1): Control {
  const control = new Control()
  for (const name of machines) control.machine(name)
  const spec: DeploymentSpec = { ...plainSpec, split }
  control.tell({ type: 'create', organisation, project, name: 'chat', spec, replicas })
  control.settle()
  return control
}

const of = (control: Control, role: ReplicaRole): readonly Replica[] =>
  control.only.replicas.filter((replica) => replica.role === role)
const machinesOf = (control: Control, role: ReplicaRole) =>
  of(control, role).map(({ stages }) => stages.map(({ machine }) => machine).join())
const revise = (control: Control, split: SplitPolicy | null) => {
  control.tell({ type: 'revise', deployment: control.only.id, changes: { split } })
  control.settle()
}

test('replicas that compute prompts come beside those that answer, and all are published', () => {
  const control = started(['m1', 'm2', 'm3', 'm4'], lossless(2), 2)
  expect(of(control, 'decode')).toHaveLength(2)
  expect(of(control, 'prefill')).toHaveLength(2)
  expect(publishedReplicas(control.state)).toHaveLength(4)
  expect(deploymentStatus(control.only)).toMatchObject({
    condition: 'ready',
    ...{ desired: 2, ready: 2, updated: 2, prefill: { desired: 2, ready: 2 } },
    sentence: 'All 2 replicas are ready at revision 1, and 2 of 2 for prompts.',
  })
})

test('the machines that are best for prompts are left to them, and the work is what placers are told', () => {
  const works: unknown[] = []
  const control = new Control()
  for (const name of ['m1', 'm2', 'm3']) control.machine(name)
  const { placer } = control
  control.placer = {
    place: (request, fleet) => {
      works.push(request.work)
      return placer.place(request, fleet)
    },
  }
  // The placer takes the first by name for either work.
  control.tell({
    ...{ type: 'create', organisation, project, name: 'chat' },
    spec: { ...plainSpec, split: lossless(1) },
  })
  control.settle()
  expect(machinesOf(control, 'prefill')).toEqual(['m1'])
  expect(machinesOf(control, 'decode')).toEqual(['m2'])
  expect(works).toEqual(['prefill', 'decode', 'prefill'])
})

test('placers are told where those of the other role are, or will be, at first and whenever one is replaced', () => {
  const asked: PlacementRequest[] = []
  const control = new Control()
  for (const name of ['m1', 'm2', 'm3', 'm4']) control.machine(name)
  const { placer } = control
  control.placer = {
    place: (request, fleet) => {
      asked.push(request)
      return placer.place(request, fleet)
    },
  }
  const partners = () =>
    asked.splice(0).map(({ work, partners: rings }) => [work, rings?.map(([stage]) => stage!.machine)])
  const spec = { ...plainSpec, split: lossless(1) }
  control.tell({ type: 'create', organisation, project, name: 'chat', spec })
  control.settle()
  expect([machinesOf(control, 'prefill'), machinesOf(control, 'decode')]).toEqual([['m1'], ['m2']])
  expect(partners()).toEqual([
    ['prefill', undefined],
    ['decode', ['m1']],
    ['prefill', ['m2']],
  ])
  control.machine('m1', { standing: 'lost', reason: 'no heartbeat' })
  control.settle()
  expect(machinesOf(control, 'prefill')).toEqual(['m3'])
  expect(partners()).toEqual([['prefill', ['m2']]])
  control.machine('m2', { standing: 'lost', reason: 'no heartbeat' })
  control.settle()
  expect(machinesOf(control, 'decode')).toEqual(['m4'])
  expect(partners()).toEqual([['decode', ['m3']]])
})

test('those of a revision that is replaced are no partners', () => {
  const control = started(['m1', 'm2', 'm3', 'm4'], lossless(1))
  const asked: PlacementRequest[] = []
  const { placer } = control
  control.placer = {
    place: (request, fleet) => {
      asked.push(request)
      return placer.place(request, fleet)
    },
  }
  control.tell({ type: 'revise', deployment: control.only.id, changes: { precision: 'Q8_0' } })
  control.settle()
  const [decode, prefill] = ['decode', 'prefill'].map((work) => asked.find((each) => each.work === work)!)
  expect(decode!.partners).toBeUndefined()
  expect(prefill!.partners?.map(([stage]) => stage!.machine)).toEqual(machinesOf(control, 'decode'))
})

test('where there is room for one only, it answers', () => {
  const control = started(['m1'], lossless(1))
  expect(machinesOf(control, 'decode')).toEqual(['m1'])
  expect(of(control, 'prefill')).toMatchObject([{ phase: 'placing' }])
  expect(publishedReplicas(control.state)).toHaveLength(1)
  const { condition, sentence } = deploymentStatus(control.only)
  expect(condition).toBe('lacking')
  expect(sentence).toBe(
    '1 of 1 replica ready, and 0 of 1 for prompts. No place for one that computes prompts: 0 of 6 layers have a place.',
  )
})

test('a prefill replica that is lost is placed anew, and those that answer notice nothing', () => {
  const control = started(['m1', 'm2', 'm3'], lossless(1))
  const [answering] = of(control, 'decode')
  const before = control.events.length
  control.machine('m1', { standing: 'lost', reason: 'no heartbeat' })
  control.reconcile()
  expect(publishedReplicas(control.state).map(({ replica }) => replica)).toEqual([answering!.id])
  control.settle()
  expect(machinesOf(control, 'prefill')).toEqual(['m3'])
  const touched = control.events.slice(before).filter((event) => 'replica' in event)
  expect(touched.filter((event) => 'replica' in event && event.replica === answering!.id)).toEqual([])
  expect(deploymentStatus(control.only).condition).toBe('ready')
})

test('what keeps prompts from a place keeps no answers from theirs', () => {
  const control = started(['m1', 'm2'], lossless(1))
  control.machine('m1', { standing: 'lost', reason: 'no heartbeat' })
  control.reconcile()
  for (let attempt = 0; attempt < 8; attempt += 1) {
    control.pass(60_000)
    control.reconcile()
  }
  expect(control.only.refusal).toMatchObject({ role: 'prefill' })
  const [answering] = of(control, 'decode')
  const { id: replica, generation, stages } = answering!
  control.tell({
    ...{ type: 'stageFailed', deployment: control.only.id, replica, generation },
    ...{ stage: stages[0]!.id, reason: 'its disk is full' },
  })
  const failed = of(control, 'decode')[0]!
  expect(failed.phase).toBe('failed')
  const waitMs = failed.failure!.retryAtMs - control.nowMs
  expect(control.only.refusal!.retryAtMs - control.nowMs).toBeGreaterThan(waitMs)
  control.settle()
  expect(control.reconcile().wakeAtMs).toBe(failed.failure!.retryAtMs)
  control.pass(waitMs)
  control.settle()
  expect(of(control, 'decode')).toMatchObject([{ phase: 'ready', generation: 2 }])
})

test('a change of who computes prompts moves no replica that answers', () => {
  const control = started(['m1', 'm2', 'm3'], null)
  const [answering] = of(control, 'decode')
  expect(of(control, 'prefill')).toEqual([])
  revise(control, lossless(2))
  expect(of(control, 'prefill').map(({ phase }) => phase)).toEqual(['ready', 'ready'])
  expect(of(control, 'decode')).toEqual([answering])
  revise(control, { prefillReplicas: 1, kvQuality: 'guarded' })
  expect(of(control, 'prefill')).toHaveLength(1)
  revise(control, null)
  expect(of(control, 'prefill')).toEqual([])
  expect(of(control, 'decode')).toEqual([answering])
  expect(control.only.leaving).toEqual([])
})

test('without anybody who answers, nobody computes prompts', () => {
  const control = started(['m1', 'm2'], lossless(1))
  const deployment = control.only.id
  control.tell({ type: 'scale', deployment, replicas: 0 })
  control.settle()
  expect(control.only.replicas).toEqual([])
  expect(deploymentStatus(control.only)).toMatchObject({ condition: 'ready', sentence: 'Scaled to none.' })
  control.tell({ type: 'scale', deployment, replicas: 1 })
  control.tell({ type: 'pause', deployment, reason: 'quiet' })
  control.settle()
  expect(control.only.replicas).toEqual([])
})

test('an update replaces both kinds, one after the other', () => {
  const control = started(['m1', 'm2', 'm3', 'm4'], lossless(1))
  const before = control.only.replicas.map(({ id }) => id)
  control.tell({ type: 'revise', deployment: control.only.id, changes: { precision: 'Q8_0' } })
  control.settle()
  expect(control.only.replicas.map(({ role }) => role).sort()).toEqual(['decode', 'prefill'])
  expect(control.only.replicas.every(({ id, revision }) => revision === 2 && !before.includes(id))).toBe(true)
  expect(deploymentStatus(control.only).condition).toBe('ready')
})

test.each<[string, SplitPolicy]>([
  ['spec.split.prefillReplicas is 0', lossless(0)],
  ['spec.split.prefillReplicas is 1.5', lossless(1.5)],
  ['spec.split.prefillReplicas is 1001', lossless(1001)],
  ['spec.split.kvQuality is "any"', { prefillReplicas: 1, kvQuality: 'any' as KvQuality }],
])('%s is refused', (message, split) => {
  const control = new Control()
  const spec = { ...plainSpec, split }
  expect(() => control.tell({ type: 'create', organisation, project, name: 'chat', spec })).toThrow(message)
})
