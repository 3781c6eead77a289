import { z } from 'zod'
import { component } from '../contract/registry.ts'
import { layerRangeSchema } from './deployment.ts'
import {
  decisionIdSchema,
  deploymentIdSchema,
  invitationIdSchema,
  joinTokenIdSchema,
  keyIdSchema,
  machineIdSchema,
  modelIdSchema,
  organisationIdSchema,
  projectIdSchema,
  replicaIdSchema,
  stageIdSchema,
  userIdSchema,
} from './id.ts'
import { locationSchema, quarantineCauses } from './machine.ts'
import { modelStates } from './model.ts'
import { moneySchema } from './money.ts'
import { count, fraction, millisecondsSchema } from './quantity.ts'
import { roleSchema } from './role.ts'
import { replicaRoleSchema } from './split.ts'
import { modelNameSchema, sentence, slugSchema } from './text.ts'
import { timestampSchema } from './time.ts'
import { linkAddressSchema } from './worker.ts'

const machine = { machineId: machineIdSchema }
const deployment = { deploymentId: deploymentIdSchema }
const replica = { ...deployment, replicaId: replicaIdSchema }
const stage = { ...replica, stageId: stageIdSchema }
const incarnation = z.int().min(1)
const revision = z.int().min(1)
const reason = sentence()

/** What events carry, by type. Types may be added to. */
const eventData = {
  'machine.joined': {
    ...machine,
    name: slugSchema,
    location: locationSchema,
    incarnation,
    /** Null if the machine was known. */
    joinTokenId: joinTokenIdSchema.nullable(),
  },
  'machine.inventory-reported': { ...machine, incarnation, hardwareChanged: z.boolean() },
  'machine.benchmarked': machine,
  'machine.quarantined': { ...machine, cause: z.enum(quarantineCauses), reason },
  'machine.released': { ...machine, causes: z.array(z.enum(quarantineCauses)), reason },
  'machine.cordoned': { ...machine, reason },
  'machine.uncordoned': { ...machine, reason },
  'machine.drain-started': { ...machine, reason },
  'machine.drained': machine,
  'machine.offline': { ...machine, incarnation, cause: z.enum(['lease', 'goodbye']), reason },
  'machine.returned': { ...machine, incarnation },
  'machine.updated': { ...machine, fields: z.array(z.string()) },
  'machine.removed': { ...machine, reason },
  'join-token.created': { joinTokenId: joinTokenIdSchema },
  'join-token.revoked': { joinTokenId: joinTokenIdSchema, reason },
  'model.registered': { modelId: modelIdSchema, name: modelNameSchema },
  'model.state-changed': { modelId: modelIdSchema, to: z.enum(modelStates), reason },
  'model.removed': { modelId: modelIdSchema },
  'deployment.created': { ...deployment, projectId: projectIdSchema, name: slugSchema, replicas: count() },
  'deployment.revised': { ...deployment, revision, replicas: count() },
  'deployment.rolled-back': { ...deployment, revision, replicas: count() },
  'deployment.scaled': { ...deployment, replicas: count() },
  'deployment.paused': { ...deployment, reason },
  'deployment.resumed': deployment,
  'deployment.placement-refused': { ...deployment, reasons: z.array(sentence()), retryAt: timestampSchema },
  'deployment.update-squeezed': { ...deployment, reason },
  'deployment.removing': { ...deployment, reason },
  'deployment.removed': deployment,
  'replica.added': { ...replica, revision, role: replicaRoleSchema },
  'replica.placed': {
    ...replica,
    generation: count(),
    tokenMs: millisecondsSchema(),
    reasons: z.array(sentence()),
    stages: z.array(
      z.object({ stageId: stageIdSchema, machineId: machineIdSchema, layers: layerRangeSchema }),
    ),
  },
  'replica.verifying': replica,
  'replica.ready': { ...replica, firstTokenMs: millisecondsSchema() },
  'replica.failed': {
    ...replica,
    reason,
    failures: count(),
    retryAt: timestampSchema,
    lostMachineIds: z.array(machineIdSchema),
  },
  'replica.draining': { ...replica, reason },
  'replica.returned': { ...replica, reason },
  'replica.gone': { ...replica, reason },
  'stage.progressed': { ...stage, loadedFraction: fraction() },
  /** Where its neighbours reach it now. */
  'stage.listening': { ...stage, linkAddress: linkAddressSchema },
  'stage.loaded': stage,
  'stage.failed': { ...stage, reason },
  'stage.unloaded': { ...deployment, stageId: stageIdSchema, reason },
  'key.created': { keyId: keyIdSchema },
  'key.updated': { keyId: keyIdSchema, fields: z.array(z.string()) },
  'key.revoked': { keyId: keyIdSchema },
  'member.joined': { userId: userIdSchema, role: roleSchema },
  'member.role-changed': { userId: userIdSchema, role: roleSchema },
  'member.removed': { userId: userIdSchema },
  'invitation.created': { invitationId: invitationIdSchema, role: roleSchema },
  'invitation.revoked': { invitationId: invitationIdSchema },
  'project.created': { projectId: projectIdSchema },
  'project.updated': { projectId: projectIdSchema, fields: z.array(z.string()) },
  'project.removed': { projectId: projectIdSchema },
  'alias.set': { ...deployment, alias: modelNameSchema },
  'alias.removed': { alias: modelNameSchema },
  'budget.reached': { keyId: keyIdSchema.nullable(), projectId: projectIdSchema, limit: moneySchema },
  'ledger.deposited': { amount: moneySchema },
  'settings.changed': { fields: z.array(z.string()) },
} as const satisfies Readonly<Record<string, z.core.$ZodLooseShape>>

export type EventType = keyof typeof eventData
export const eventTypes = Object.keys(eventData) as readonly EventType[]
export const eventTypeSchema = z.enum(eventTypes as unknown as readonly [EventType, ...EventType[]])

/** Who or what caused it. */
export const causeSchema = component(
  'Cause',
  z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('user'), id: userIdSchema }),
    z.object({ kind: z.literal('key'), id: keyIdSchema }),
    z.object({ kind: z.literal('machine'), id: machineIdSchema }),
    z.object({ kind: z.literal('system') }),
  ]),
)

const envelope = {
  /** Grows within the organisation without gaps being promised; the cursor of lists and streams. */
  sequence: z.int().min(1),
  at: timestampSchema,
  organisationId: organisationIdSchema,
  cause: causeSchema,
  /** What happened, for people. */
  message: sentence(),
}

type EventSchemaOf<T extends EventType> = z.ZodObject<
  typeof envelope & { type: z.ZodLiteral<T>; data: z.ZodObject<(typeof eventData)[T]> }
>

type EventSchemas = { [T in EventType]: EventSchemaOf<T> }[EventType]

const eventSchemas = eventTypes.map((type) =>
  component(
    `Event:${type}`.replace(/[:.-](.)/g, (_, letter: string) => letter.toUpperCase()),
    z.object({ ...envelope, type: z.literal(type), data: z.object(eventData[type]) }),
  ),
) as unknown as readonly [EventSchemas, ...EventSchemas[]]

/** Something that happened to an organisation's fleet, deployments or settings. Holds no secrets. */
export const eventSchema = component('Event', z.discriminatedUnion('type', eventSchemas))
export type ApiEvent = z.output<typeof eventSchema>
/** The event of one type. */
export type ApiEventOf<T extends EventType> = Extract<ApiEvent, { type: T }>

export const decisionKinds = ['placement', 'healing', 'scaling', 'rollout', 'routing'] as const

/** A choice of the system, with what it did not choose. */
export const decisionSchema = component(
  'Decision',
  z.object({
    id: decisionIdSchema,
    at: timestampSchema,
    kind: z.enum(decisionKinds),
    deploymentId: deploymentIdSchema.nullable(),
    replicaId: replicaIdSchema.nullable(),
    /** What was chosen, in words. */
    summary: sentence(),
    reasons: z.array(sentence()),
    rejected: z.array(z.object({ option: sentence(), reason: sentence() })),
  }),
)
export type Decision = z.output<typeof decisionSchema>
