import { type DeploymentId, ms, type ReplicaId, type StageId, tokens } from '@deos/domain'
import { beforeEach, describe, expect, test } from 'vitest'
import { requireRevision } from './deployment.ts'
import type { DeploymentFact } from './deployment-commands.ts'
import { DeploymentError } from './deployment-error.ts'
import type { DeploymentSpec } from './deployment-spec.ts'
import { Control, organisation, plainSpec, project } from './testing/control.ts'

let control: Control

beforeEach(() => {
  control = new Control()
})

const create = (name = 'chat', change: Partial<DeploymentSpec> = {}, replicas?: number): DeploymentId => {
  const spec = { ...plainSpec, ...change }
  const [event] = control.tell({
    type: 'create',
    organisation,
    project,
    name,
    spec,
    ...(replicas !== undefined && { replicas }),
  })
  return event!.deployment
}

const refusal = (act: () => unknown): DeploymentError => {
  try {
    act()
  } catch (error) {
    if (error instanceof DeploymentError) return error
    throw error
  }
  throw new Error('It was not refused.')
}

describe('wishes', () => {
  test('a deployment begins with revision 1 and the fewest replicas allowed, but one', () => {
    create()
    expect(control.only).toMatchObject({ name: 'chat', activeRevision: 1, desiredReplicas: 1, replicas: [] })
    create('more', { minReplicas: 3 })
    expect([...control.state.deployments.values()][1]!.desiredReplicas).toBe(3)
  })

  test.each<[string, Partial<DeploymentSpec>]>([
    ['spec.model', { model: ' ' as DeploymentSpec['model'] }],
    ['spec.contextTokens', { contextTokens: tokens(0) }],
    ['spec.contextTokens', { contextTokens: tokens(1.5) }],
    ['spec.sessions', { sessions: 0 }],
    ['spec.precision', { precision: '../Q8_0' }],
    ['spec.maxReplicas', { maxReplicas: 0 }],
    ['spec.minReplicas', { minReplicas: 9 }],
    ['spec.regions', { regions: [] }],
    ['spec.regions[1]', { regions: ['eu', 'a\nb'] }],
    ['spec.target.ttftMs', { target: { ttftMs: ms(Number.NaN) } }],
    ['spec.target.pricePerMillionTokens', { target: { pricePerMillionTokens: 0.5 } }],
  ])('%s that makes no sense is named', (field, change) => {
    const error = refusal(() => create('chat', change))
    expect(error.code).toBe('DEPLOYMENT_INVALID')
    expect(error.message).toContain(field)
    expect(control.events).toEqual([])
  })

  test.each(['', 'Chat', '-chat', 'chat-', 'a/b', 'x'.repeat(64)])('%j is not a name', (name) => {
    expect(refusal(() => create(name)).message).toContain('name is')
  })

  test('a name is taken only once in a project', () => {
    create()
    expect(refusal(() => create()).code).toBe('DEPLOYMENT_NAME_TAKEN')
    const other = 'project-2' as typeof project
    expect(
      control.tell({ type: 'create', organisation, project: other, name: 'chat', spec: plainSpec }),
    ).toHaveLength(1)
  })

  test('a name is free again when the deployment of before is gone', () => {
    const deployment = create()
    control.tell({ type: 'remove', deployment, reason: 'done' })
    expect(refusal(() => create()).retriable).toBe(true)
    control.reconcile()
    create()
    expect(control.only.removing).toBeNull()
  })

  test('a revision is made of what changes, and none if nothing does', () => {
    const deployment = create('chat', { regions: ['us', 'eu', 'us'] })
    expect(control.tell({ type: 'revise', deployment, changes: { regions: ['eu', 'us'] } })).toEqual([])
    control.tell({ type: 'revise', deployment, changes: { sessions: 4 } })
    expect(control.only.activeRevision).toBe(2)
    expect(requireRevision(control.only, 2).spec).toEqual({
      ...plainSpec,
      regions: ['eu', 'us'],
      sessions: 4,
    })
    expect(requireRevision(control.only, 1).spec.sessions).toBe(1)
    expect(refusal(() => control.tell({ type: 'revise', deployment, changes: { sessions: -1 } })).code).toBe(
      'DEPLOYMENT_INVALID',
    )
  })

  test('a rollback activates the revision as it was, within its bounds', () => {
    const deployment = create('chat', { maxReplicas: 2 }, 2)
    control.tell({ type: 'revise', deployment, changes: { maxReplicas: 5 } })
    control.tell({ type: 'scale', deployment, replicas: 5 })
    control.tell({ type: 'rollback', deployment, revision: 1 })
    expect(control.only).toMatchObject({ activeRevision: 1, desiredReplicas: 2 })
    expect(control.only.revisions).toHaveLength(2)
    expect(control.tell({ type: 'rollback', deployment, revision: 1 })).toEqual([])
    expect(refusal(() => control.tell({ type: 'rollback', deployment, revision: 3 })).message).toBe(
      'chat has no revision 3; its revisions are 1 to 2.',
    )
  })

  test('replicas stay within bounds', () => {
    const deployment = create('chat', { minReplicas: 1, maxReplicas: 2 })
    for (const replicas of [0, 3]) {
      expect(refusal(() => control.tell({ type: 'scale', deployment, replicas })).code).toBe(
        'REPLICAS_OUT_OF_BOUNDS',
      )
    }
    expect(refusal(() => control.tell({ type: 'scale', deployment, replicas: 1.5 })).code).toBe(
      'DEPLOYMENT_INVALID',
    )
    expect(refusal(() => create('other', { maxReplicas: 2 }, 3)).code).toBe('REPLICAS_OUT_OF_BOUNDS')
  })

  test('what is so already changes nothing', () => {
    const deployment = create()
    expect(control.tell({ type: 'scale', deployment, replicas: 1 })).toEqual([])
    expect(control.tell({ type: 'resume', deployment })).toEqual([])
    expect(control.tell({ type: 'pause', deployment, reason: 'night' })).toHaveLength(1)
    expect(control.tell({ type: 'pause', deployment, reason: 'night' })).toEqual([])
    expect(control.tell({ type: 'remove', deployment, reason: 'done' })).toHaveLength(1)
    expect(control.tell({ type: 'remove', deployment, reason: 'done' })).toEqual([])
  })

  test('what is being removed or unknown takes no wishes', () => {
    const deployment = create()
    control.tell({ type: 'remove', deployment, reason: 'done' })
    expect(refusal(() => control.tell({ type: 'scale', deployment, replicas: 2 })).code).toBe(
      'DEPLOYMENT_REMOVING',
    )
    const unknown = 'nothing' as DeploymentId
    expect(refusal(() => control.tell({ type: 'resume', deployment: unknown })).code).toBe(
      'DEPLOYMENT_UNKNOWN',
    )
  })
})

describe('facts', () => {
  const loading = () => {
    control.machine('m1', { freeBytes: 60 })
    control.machine('m2', { freeBytes: 60 })
    const deployment = create()
    control.reconcile()
    const [replica] = control.only.replicas
    const of = { deployment, replica: replica!.id, generation: 1 }
    return { deployment, replica: replica!, of, first: replica!.stages[0]!, last: replica!.stages[1]! }
  }

  test('progress is an event only when it is worth one, and never goes back', () => {
    const { of, last } = loading()
    const tell = (fraction: number) =>
      control.tell({ type: 'stageProgress', ...of, stage: last.id, fraction }).length
    expect([0, 0, 0.05, 0.1, 0.15, 0.08, 1].map(tell)).toEqual([1, 0, 0, 1, 0, 0, 1])
    expect(refusal(() => tell(1.1)).message).toContain('fraction is 1.1')
    expect(refusal(() => tell(Number.NaN)).code).toBe('DEPLOYMENT_INVALID')
    control.tell({ type: 'stageLoaded', ...of, stage: last.id })
    expect(tell(0.5)).toBe(0)
    expect(control.only.replicas[0]!.stages.map(({ state }) => state.type)).toEqual(['assigned', 'loaded'])
  })

  test('a failed stage fails the replica; the machine is avoided and everything unloaded', () => {
    const { of, first, last } = loading()
    control.tell({ type: 'stageLoaded', ...of, stage: last.id })
    const events = control.tell({ type: 'stageFailed', ...of, stage: first.id, reason: 'no\nmemory' })
    expect(events.map(({ type }) => type)).toEqual(['stageFailed', 'replicaFailed'])
    const [replica] = control.only.replicas
    expect(replica).toMatchObject({ phase: 'failed', stages: [], failures: 1, avoid: [first.machine] })
    expect(replica!.failure).toEqual({
      reason: `Layers [0, 3) failed on ${first.machine}: no memory`,
      retryAtMs: control.nowMs + 1000,
    })
    expect(control.only.leaving.map(({ id }) => id)).toEqual([first.id, last.id])
  })

  test('facts of nobody, of an earlier placement or of a later state change nothing', () => {
    const { deployment, of, last } = loading()
    const verified = { type: 'tokenVerified', ...of, firstTokenMs: ms(1) } as const
    const stale: DeploymentFact[] = [
      { type: 'stageLoaded', ...of, deployment: 'x' as DeploymentId, stage: last.id },
      { type: 'stageLoaded', ...of, replica: 'x' as ReplicaId, stage: last.id },
      { type: 'stageLoaded', ...of, generation: 0, stage: last.id },
      { type: 'stageLoaded', ...of, generation: 2, stage: last.id },
      { type: 'stageFailed', ...of, stage: 'x' as StageId, reason: 'x' },
      { type: 'stageUnloaded', deployment, stage: last.id },
      { type: 'drained', deployment, replica: of.replica, drain: 0 },
      { type: 'machineLost', machine: last.machine, incarnation: 0, reason: 'x' },
      { type: 'verificationFailed', ...of, reason: 'x' },
      verified,
    ]
    for (const fact of stale) expect(control.tell(fact)).toEqual([])
    control.settle()
    expect(control.tell(verified)).toEqual([])
    expect(refusal(() => control.tell({ ...verified, firstTokenMs: ms(-1) })).code).toBe('DEPLOYMENT_INVALID')
  })

  test('a lost machine takes its stages along; what is elsewhere is unloaded', () => {
    const { first, last } = loading()
    control.settle()
    control.tell({
      type: 'machineLost',
      machine: last.machine,
      incarnation: 1,
      reason: 'no heartbeat for 3 s',
    })
    const [replica] = control.only.replicas
    expect(replica).toMatchObject({ phase: 'failed', failures: 0, avoid: [last.machine] })
    expect(replica!.failure).toEqual({
      reason: `${last.machine} was lost: no heartbeat for 3 s`,
      retryAtMs: control.nowMs,
    })
    expect(control.only.leaving.map(({ id }) => id)).toEqual([first.id])
    control.tell({ type: 'machineLost', machine: first.machine, incarnation: 1, reason: 'power' })
    expect(control.only.leaving).toEqual([])
  })
})
