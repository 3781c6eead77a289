import { type DeploymentId, type MachineId, ms, type OrganisationId, tokens } from '@deos/domain'
import { beforeEach, describe, expect, test } from 'vitest'
import { noDeployments } from './deployment.ts'
import { foldDeployments } from './evolve-deployments.ts'
import { restoreDeployments, storeDeployments } from './stored-deployments.ts'
import { Control, organisation, plainSpec, project } from './testing/control.ts'

let control: Control
let deployment: DeploymentId

const create = (of: OrganisationId, name: string, replicas = 1): DeploymentId =>
  control.tell({ type: 'create', organisation: of, project, name, spec: plainSpec, replicas })[0]!.deployment

const versionOf = (machine: string): number | undefined =>
  control.state.assignmentVersions.get(machine as MachineId)

const listening = (position: number, linkAddress: string) => {
  const replica = control.only.replicas[0]!
  const { id: stage } = replica.stages[position]!
  const about = { deployment, replica: replica.id, generation: replica.generation, stage }
  return control.tell({ type: 'stageListening', ...about, linkAddress })
}

beforeEach(() => {
  control = new Control()
})

describe('versions of assignments', () => {
  beforeEach(() => {
    control.machine('m1', { freeBytes: 70 })
    control.machine('m2', { freeBytes: 70 })
    deployment = create(organisation, 'chat')
    control.reconcile()
  })

  test('both machines of a ring get a new one when one begins to listen, and none when it says so again', () => {
    const before = versionOf('m1')!
    expect(listening(1, '10.0.0.2:7400')).toHaveLength(1)
    expect(versionOf('m1')).toBe(before + 1)
    expect(versionOf('m2')).toBe(before + 1)
    expect(listening(1, '10.0.0.2:7400')).toEqual([])
    expect(control.only.replicas[0]!.stages.map(({ linkAddress }) => linkAddress)).toEqual([
      null,
      '10.0.0.2:7400',
    ])
  })

  test('the first progress of a stage lets the one before it load, later progress changes nothing', () => {
    const replica = control.only.replicas[0]!
    const about = { deployment, replica: replica.id, generation: 1, stage: replica.stages[1]!.id }
    const before = versionOf('m1')!
    control.tell({ type: 'stageProgress', ...about, fraction: 0 })
    expect(versionOf('m1')).toBe(before + 1)
    control.tell({ type: 'stageProgress', ...about, fraction: 0.5 })
    control.tell({ type: 'stageLoaded', ...about })
    expect(versionOf('m1')).toBe(before + 1)
  })

  test('a replica that drains tells its machines, and from which version on it is not published', () => {
    control.settle()
    const before = versionOf('m1')!
    control.tell({ type: 'scale', deployment, replicas: 0 })
    control.reconcile()
    const [replica] = control.replicas('draining')
    expect(versionOf('m1')).toBeGreaterThan(before)
    expect(replica!.drain!.version).toBe(versionOf('m1'))
  })

  test('an address must be one', () => {
    expect(() => listening(0, 'not an address')).toThrow('linkAddress')
  })

  test('do not depend on snapshots', () => {
    control.settle()
    const stored = JSON.parse(JSON.stringify(storeDeployments(control.state)))
    expect(restoreDeployments(stored)).toEqual(control.state)
    expect(foldDeployments(control.events, noDeployments)).toEqual(control.state)
    expect(control.state.version).toBe(control.events.length)
    expect(restoreDeployments({ ...stored, format: 1 })).toBeNull()
  })
})

test('a machine blamed for a missing token is avoided by the next placement', () => {
  for (const name of ['m1', 'm2']) control.machine(name)
  deployment = create(organisation, 'chat')
  control.step('load')
  const replica = control.only.replicas[0]!
  const [{ machine }] = replica.stages as [(typeof replica.stages)[0]]
  const about = { deployment, replica: replica.id, generation: replica.generation }
  control.tell({ type: 'verificationFailed', ...about, reason: 'out of reach', blamed: [machine] })
  control.pass(2000)
  control.settle()
  expect(control.replicas('ready')[0]!.stages[0]!.machine).not.toBe(machine)
})

test('a spec without a context takes what the model was made for, and waits until that is known', () => {
  control.machine('m1')
  control.contextTokens = () => null
  const spec = { ...plainSpec, contextTokens: null }
  deployment = control.tell({ type: 'create', organisation, project, name: 'chat', spec, replicas: 1 })[0]!
    .deployment
  control.settle()
  expect(control.replicas('placing')).toHaveLength(1)
  control.contextTokens = () => tokens(4)
  control.pass(2000)
  control.settle()
  const [stage] = control.replicas('ready')[0]!.stages
  expect(stage!.kvBytes).toBe(6 * 4)
})

describe('organisations', () => {
  const other = 'org-2' as OrganisationId

  test('never share machines', () => {
    control.machine('m1', { freeBytes: 240 })
    control.machine('m2', { freeBytes: 120, organisation: other })
    const ours = create(organisation, 'ours', 1)
    const theirs = create(other, 'theirs', 2)
    control.settle()
    const machines = (id: DeploymentId) =>
      control.state.deployments
        .get(id)!
        .replicas.flatMap(({ stages }) => stages.map(({ machine }) => machine as string))
    expect(machines(ours)).toEqual(['m1'])
    expect(machines(theirs)).toEqual(['m2'])
    expect(control.state.deployments.get(theirs)!.refusal).not.toBeNull()
  })

  test('one that waits for room is not tried again because of what another does', () => {
    control.machine('m1', { freeBytes: 60 })
    const ours = create(organisation, 'ours')
    control.reconcile()
    control.machine('m2', { organisation: other })
    control.pass(2000)
    const { events } = control.reconcile()
    expect(events).toEqual([])
    expect(control.state.deployments.get(ours)!.refusal!.count).toBe(1)
  })

  test('are named by the event that removes the last of a deployment', () => {
    control.machine('m1')
    const ours = create(organisation, 'ours')
    control.settle()
    control.tell({ type: 'remove', deployment: ours, reason: 'done' })
    control.settle()
    expect(control.events.at(-1)).toEqual({
      type: 'deploymentRemoved',
      deployment: ours,
      atMs: ms(1_000_000),
      organisation,
    })
  })
})
