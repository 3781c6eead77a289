import { type EventType, eventSchema, eventTypes } from '@deos/api'
import {
  bytes,
  deploymentId,
  machineId,
  ms,
  organisationId,
  projectId,
  replicaId,
  stageId,
} from '@deos/domain'
import type { DeploymentEvent, FleetEvent } from '@deos/fleet'
import { describe, expect, test } from 'vitest'
import { deploymentsStream } from '../deployments/deployments-stream.ts'
import { fleetStream } from '../machines/fleet-stream.ts'
import { apiEventOf } from './api-event.ts'
import type { StoredEvent } from './event-store.ts'

const atMs = ms(Date.UTC(2026, 0, 5, 9, 30))
const organisation = organisationId('org-1')
const machine = machineId('machine-1')
const onMachine = { atMs, machine }
const deployment = deploymentId('deployment-1')
const onDeployment = { atMs, deployment }
const onReplica = { ...onDeployment, replica: replicaId('replica-1') }
const onStage = { ...onReplica, stage: stageId('stage-1') }
const reason = 'The lid was closed'

const fleetEvents: readonly FleetEvent[] = [
  {
    type: 'joinTokenCreated',
    atMs,
    token: 'join-1',
    organisation,
    label: 'all',
    secretDigest: 'digest of a secret',
    expiresAtMs: ms(atMs + 1),
    maxUses: null,
  },
  {
    type: 'machineJoined',
    ...onMachine,
    organisation,
    fingerprint: 'fingerprint',
    name: 'attic',
    location: { region: 'eu-north', provider: 'home' },
    software: { version: '1.4.0', protocol: { min: 1, max: 2 } },
    protocol: 2,
    incarnation: 1,
    process: 'process-1',
    token: 'join-1',
  },
  {
    type: 'inventoryReported',
    ...onMachine,
    incarnation: 1,
    hardwareChanged: true,
    inventory: {
      hostname: 'box',
      platform: 'linux',
      architecture: 'x64',
      cpuModel: 'Some CPU',
      cpuCores: 8,
      memoryBytes: bytes(64e9),
      diskFreeBytes: bytes(1e12),
      devices: [],
    },
  },
  {
    type: 'benchmarkReported',
    ...onMachine,
    benchmark: { devices: [], diskReadBytesPerSecond: 1e9 as never },
  },
  { type: 'machineQuarantined', ...onMachine, cause: 'operator', reason },
  { type: 'quarantineReleased', ...onMachine, causes: ['operator'], reason },
  { type: 'machineCordoned', ...onMachine, reason },
  { type: 'machineUncordoned', ...onMachine, reason },
  { type: 'drainStarted', ...onMachine, reason },
  { type: 'machineDrained', ...onMachine },
  { type: 'machineWentOffline', ...onMachine, incarnation: 1, cause: 'lease', reason },
  { type: 'machineReturned', ...onMachine, incarnation: 1 },
  { type: 'machineRemoved', ...onMachine, reason },
  { type: 'joinTokenRevoked', atMs, token: 'join-1', reason },
]

const spec = {} as Extract<DeploymentEvent, { type: 'deploymentCreated' }>['spec']

const deploymentEvents: readonly DeploymentEvent[] = [
  {
    type: 'deploymentCreated',
    ...onDeployment,
    organisation,
    project: projectId('project-1'),
    name: 'chat',
    spec,
    desiredReplicas: 1,
  },
  { type: 'deploymentRevised', ...onDeployment, revision: 2, spec, desiredReplicas: 2 },
  { type: 'revisionActivated', ...onDeployment, revision: 1, desiredReplicas: 1 },
  { type: 'deploymentScaled', ...onDeployment, desiredReplicas: 3 },
  { type: 'deploymentPaused', ...onDeployment, reason },
  { type: 'deploymentResumed', ...onDeployment },
  { type: 'replicaAdded', ...onReplica, revision: 1, role: 'prefill' },
  {
    type: 'placementRefused',
    ...onDeployment,
    role: 'decode',
    reasons: ['No machine has 8 GB free', 'One is away.'],
    fleetKey: 'key',
    count: 1,
    retryAtMs: ms(atMs + 1000),
  },
  { type: 'updateSqueezed', ...onDeployment, reason },
  {
    type: 'replicaPlaced',
    ...onReplica,
    generation: 1,
    tokenMs: ms(12.5),
    reasons: ['It fits on one machine.'],
    stages: [
      {
        id: onStage.stage,
        machine,
        device: 'CPU',
        layers: { first: 0, end: 8 },
        weightBytes: bytes(1e9),
        kvBytes: bytes(1e8),
        incarnation: 1,
      },
    ],
  },
  { type: 'stageProgressed', ...onStage, fraction: 0.5 },
  { type: 'stageListening', ...onStage, linkAddress: '10.0.0.1:7000' },
  { type: 'stageLoaded', ...onStage },
  { type: 'stageFailed', ...onStage, reason },
  { type: 'replicaVerifying', ...onReplica },
  { type: 'replicaReady', ...onReplica, firstTokenMs: ms(40) },
  { type: 'replicaDraining', ...onReplica, cause: 'scale', reason },
  { type: 'replicaReturned', ...onReplica, reason },
  {
    type: 'replicaFailed',
    ...onReplica,
    reason,
    failures: 2,
    retryAtMs: ms(atMs + 1000),
    lost: [machine],
    avoid: [machine],
  },
  { type: 'replicaGone', ...onReplica, reason, lost: [] },
  { type: 'stageUnloaded', ...onDeployment, stage: onStage.stage, reason },
  { type: 'removalBegun', ...onDeployment, reason },
  { type: 'deploymentRemoved', ...onDeployment, organisation },
]

const told: Partial<Record<EventType, unknown>> = {
  'machine.updated': { machineId: machine, fields: ['name'] },
  'model.registered': { modelId: 'model-1', name: 'example/tiny-8b' },
  'model.state-changed': { modelId: 'model-1', to: 'ready', reason: 'All files are there.' },
  'model.removed': { modelId: 'model-1' },
  'key.created': { keyId: 'key-1' },
  'key.updated': { keyId: 'key-1', fields: ['name', 'budget'] },
  'key.revoked': { keyId: 'key-1' },
  'member.joined': { userId: 'user-1', role: 'admin' },
  'member.role-changed': { userId: 'user-1', role: 'viewer' },
  'member.removed': { userId: 'user-1' },
  'invitation.created': { invitationId: 'invitation-1', role: 'admin' },
  'invitation.revoked': { invitationId: 'invitation-1' },
  'project.created': { projectId: 'project-1' },
  'project.updated': { projectId: 'project-1', fields: [] },
  'project.removed': { projectId: 'project-1' },
  'alias.set': { deploymentId: deployment, alias: 'chat' },
  'alias.removed': { alias: 'chat' },
  'budget.reached': {
    keyId: null,
    projectId: 'project-1',
    limit: { currency: 'USD', microUnits: '2500000' },
  },
  'ledger.deposited': { amount: { currency: 'EUR', microUnits: '1' } },
  'settings.changed': { fields: ['hubUrl'] },
}

const row = (stream: string, type: string, data: unknown): StoredEvent => ({
  sequence: 7,
  stream,
  version: stream === 'organisation' ? null : 3,
  organisationId: organisation,
  type,
  data: JSON.parse(JSON.stringify(data)),
  cause: { kind: 'user', id: 'user-1' },
  machineId: null,
  deploymentId: null,
  at: new Date(atMs),
})

/** As the streams describe them; the states only need what a description looks up. */
const fleet = fleetEvents.reduce(fleetStream.evolve, fleetStream.empty)
const typesOfFleet = fleetEvents.map((event) => fleetStream.describe(event, fleet).type)

function describedDeployments() {
  let state = deploymentsStream.empty
  return deploymentEvents.map((event) => {
    state = deploymentsStream.evolve(state, event)
    return deploymentsStream.describe(event, state).type
  })
}

const rows: readonly StoredEvent[] = [
  ...fleetEvents.map((event, index) => row('fleet', typesOfFleet[index]!, event)),
  ...describedDeployments().map((type, index) => row('deployments', type, deploymentEvents[index])),
  ...Object.entries(told).map(([type, data]) => row('organisation', type, data)),
]

test('every type of event is among the examples', () => {
  expect([...new Set(rows.map(({ type }) => type))].sort()).toEqual([...eventTypes].sort())
})

describe.each(rows.map((stored) => [stored.type, stored] as const))('%s', (_, stored) => {
  test('is told as the API describes it, with nothing else, in a sentence', () => {
    const event = apiEventOf(stored)
    expect(eventSchema.parse(event)).toEqual(event)
    expect(event.message).toMatch(/^\S.*[^.\s]\.$/)
    expect(event.message).not.toMatch(/undefined|null|NaN|\[object/)
  })
})

test.each([
  ['machine.joined', 'Machine attic joined in eu-north (home).'],
  ['machine.offline', 'machine-1 went offline: The lid was closed.'],
  [
    'deployment.placement-refused',
    'No place was found for a replica of deployment-1: No machine has 8 GB free. One is away.',
  ],
  ['replica.failed', 'replica-1 failed 2 times in a row: The lid was closed.'],
  ['budget.reached', 'project-1 has used up its budget of 2.50 USD.'],
  ['ledger.deposited', '0.000001 EUR was paid in.'],
  ['settings.changed', 'Settings: hubUrl changed.'],
])('%s reads: %s', (type, message) => {
  expect(apiEventOf(rows.find((stored) => stored.type === type)!).message).toBe(message)
})

test('a machine that comes back is not told as a new one', () => {
  const joined = fleetEvents.find(({ type }) => type === 'machineJoined')!
  const again = row('fleet', 'machine.joined', { ...joined, incarnation: 22, token: null })
  expect(apiEventOf(again).message).toBe('Machine attic is back, started for the 22nd time.')
})
