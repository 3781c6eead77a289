import { z } from 'zod'
import { component, exemplified } from '../contract/registry.ts'
import type { DeepReadonly } from '../contract/route-types.ts'
import { activationsSchema, layerRangeSchema, linkPathSchema, precisionSchema } from './deployment.ts'
import { deploymentIdSchema, machineIdSchema, modelIdSchema, replicaIdSchema, stageIdSchema } from './id.ts'
import {
  benchmarkSchema,
  deviceNameSchema,
  inventorySchema,
  locationSchema,
  machineLoadSchema,
} from './machine.ts'
import { modelFileSchema } from './model.ts'
import {
  bytesPerSecondSchema,
  bytesSchema,
  count,
  fraction,
  millisecondsSchema,
  tokensSchema,
} from './quantity.ts'
import { line, modelNameSchema, paragraph, secretSchema, slugSchema, versionSchema } from './text.ts'
import { timestampSchema } from './time.ts'

const incarnation = z.int().min(1)

/** An Ed25519 public key: 32 bytes in base64url. */
export const publicKeySchema = exemplified(
  z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'must be 32 bytes in base64url'),
  ['A'.repeat(43)],
)

/**
 * Where other machines reach this one's links: `host:port`, with `;key=` and the machine's public key where links prove
 * it, and `;circuit=` and a name where host and port are a relay's.
 */
export const linkAddressSchema = exemplified(
  z
    .string()
    .max(400)
    .regex(
      /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]):(?!0)\d{1,5}(?:;key=[A-Za-z0-9_-]{43}(?:;circuit=[A-Za-z0-9_-]{16,64})?)?$/,
      'must be host:port, perhaps with a key and a circuit',
    )
    .refine((text) => Number(/:(\d{1,5})(?:;|$)/.exec(text)?.[1]) <= 65_535, 'must have a port up to 65535'),
  ['10.0.0.7:7400'],
)

export const challengeRequestSchema = component(
  'WorkerChallengeRequest',
  z.strictObject({ publicKey: publicKeySchema }),
)

export const challengeSchema = component(
  'WorkerChallenge',
  z.object({
    /** To be signed with the machine's key, as it is. */
    challenge: secretSchema(''),
    expiresAt: timestampSchema,
    /** Of the machine with this key; 0 if it is not known. */
    incarnation: count(),
    /** Where machines that nobody can dial wait for others, `host:port;key=…`; null if there is no relay. */
    relay: linkAddressSchema.nullable(),
  }),
)

export const joinSchema = component(
  'WorkerJoin',
  z.strictObject({
    publicKey: publicKeySchema,
    challenge: z.string().min(16).max(512),
    /** Of the challenge's UTF-8 bytes: 64 bytes in base64url. */
    signature: exemplified(z.string().regex(/^[A-Za-z0-9_-]{86}$/, 'must be 64 bytes in base64url'), [
      'B'.repeat(86),
    ]),
    /** Random, new with each start of the process: a join sent twice is one. */
    process: exemplified(z.string().regex(/^[A-Za-z0-9_-]{8,64}$/, 'must be 8 to 64 letters and digits'), [
      'process-0c1',
    ]),
    /** The incarnation that came with the challenge: a join that is late changes nothing. */
    after: count(),
    /** Needed the first time; a key that is known needs none. */
    token: z.string().min(16).max(512).nullable().default(null),
    /** Wished for; the answer says which name it got. */
    name: slugSchema.nullable().default(null),
    location: locationSchema.nullable().default(null),
    version: versionSchema,
    protocols: z
      .strictObject({ min: z.int().min(1).max(10_000), max: z.int().min(1).max(10_000) })
      .refine(({ min, max }) => min <= max, { path: ['min'], message: 'must not be above max' }),
    /** Null behind a NAT: then the machine dials. */
    linkAddress: linkAddressSchema.nullable().default(null),
  }),
)

/** The secret that the ring's members know: 32 bytes in hexadecimal digits. */
export const ringSecretSchema = exemplified(z.string().regex(/^[0-9a-f]{64}$/), ['5e'.repeat(32)])

const missingReportSchema = z.enum(['inventory', 'benchmark'])

const leaseTerms = z.object({
  expiresAt: timestampSchema,
  /** After the last heartbeat. */
  durationMs: z.int().min(1),
  heartbeatMs: z.int().min(1),
})

export const joinedSchema = component(
  'WorkerJoined',
  z.object({
    machineId: machineIdSchema,
    name: slugSchema,
    incarnation,
    /** Sent as a bearer token with everything that follows; dies with the incarnation. */
    credential: secretSchema('deos_m_'),
    /**
     * 32 bytes in hexadecimal digits. The key of a ticket that another machine shows here is HMAC-SHA-256 of the
     * ticket under it.
     */
    peerSecret: ringSecretSchema,
    protocol: z.int().min(1),
    lease: leaseTerms,
    /** What is wanted before anything else. */
    missingReport: missingReportSchema.nullable(),
  }),
)

/** What proves to another machine that this one may talk to it now. */
const peerTicketShape = {
  /** Identity of the TLS pre-shared key. */
  ticket: exemplified(z.string().min(8).max(512), ['machine-0c1.1767605400000']),
  /** The key itself: 32 bytes in hexadecimal digits. */
  ticketKey: exemplified(z.string().regex(/^[0-9a-f]{64}$/), ['7a'.repeat(32)]),
}

/** A neighbour on the ring. */
const neighbourSchema = component(
  'StageNeighbour',
  z.object({
    stageId: stageIdSchema,
    machineId: machineIdSchema,
    /** Where the stage listens; null until it does, and behind a NAT. */
    linkAddress: linkAddressSchema.nullable(),
  }),
)

/** A stage that the machine is to hold. */
export const assignmentSchema = component(
  'StageAssignment',
  z.object({
    stageId: stageIdSchema,
    replicaId: replicaIdSchema,
    deploymentId: deploymentIdSchema,
    /** Of the replica's placements; reports name it. */
    generation: count(),
    /** `run` loads and serves, `drain` finishes what runs and takes nothing new. */
    wanted: z.enum(['run', 'drain']),
    position: count(),
    stages: z.int().min(1),
    device: deviceNameSchema,
    layers: layerRangeSchema,
    model: z.object({
      id: modelIdSchema,
      name: modelNameSchema,
      /** Files of the model; their names are for people, their digests are what is fetched. */
      /** Of the whole model; names what rings agree on. */
      fingerprint: z.string().min(1).max(128),
      files: z.array(modelFileSchema),
    }),
    precision: precisionSchema,
    activations: activationsSchema.default('f32'),
    contextTokens: tokensSchema(),
    /** Of that length, at once. */
    sessions: z.int().min(1),
    kvTokens: tokensSchema(),
    weightBytes: bytesSchema(),
    kvBytes: bytesSchema(),
    /** The ring's id in the protocol. */
    ring: z.string().min(1).max(200),
    ringSecret: ringSecretSchema,
    previous: neighbourSchema,
    next: neighbourSchema,
    /** Machines that have the layers already. */
    sources: z.array(
      z.object({ machineId: machineIdSchema, address: linkAddressSchema, ...peerTicketShape }),
    ),
  }),
)
export type StageAssignment = DeepReadonly<z.output<typeof assignmentSchema>>

/** All that a machine is to hold; what it holds beside this it lets go. */
export const assignmentsSchema = component(
  'StageAssignments',
  z.object({
    /** Grows with every change; the id of the stream's events. */
    version: count(),
    assignments: z.array(assignmentSchema),
  }),
)

const stageReportSchema = z.strictObject({
  stageId: stageIdSchema,
  /** Of the assignment that this is about. */
  generation: count(),
  state: z.enum(['loading', 'loaded', 'failed']),
  /** Of its bytes that are there. */
  loadedFraction: fraction(),
  /** Where it listens, once it does; null also behind a NAT. */
  linkAddress: linkAddressSchema.nullable(),
  /** To the next stage of the ring and back; null while it is not known. */
  nextRoundTripMs: millisecondsSchema().nullable(),
  /** How the link to the next stage goes; null while there is none, and on links that do not say. */
  nextPath: linkPathSchema.nullable().default(null),
  /** What went wrong, if it did. */
  problem: paragraph(2000).nullable(),
  activeSessions: count(),
  kvUsedTokens: tokensSchema(),
  busyFraction: fraction(),
  generatedTokens: tokensSchema(),
})

const reportedDevice = machineLoadSchema.shape.devices.element

export const heartbeatSchema = component(
  'WorkerHeartbeat',
  z.strictObject({
    incarnation,
    /** Counts heartbeats of the incarnation; older ones that come late are passed over. */
    sequence: z.int().min(1),
    /** Of the assignments that the machine has seen last. */
    assignmentsVersion: count(),
    load: z.strictObject({
      cpuFraction: fraction(),
      memoryUsedBytes: bytesSchema(),
      devices: z.array(z.strictObject(reportedDevice.shape)).max(64),
    }),
    /** All it holds; what is not among them has been unloaded. */
    stages: z.array(stageReportSchema).max(256),
    /** Whether the machine asks to be drained, because its owner stops it. */
    leaving: z.boolean().default(false),
  }),
)

export const heartbeatAnswerSchema = component(
  'WorkerHeartbeatAnswer',
  z.object({
    lease: leaseTerms,
    /** Of the newest assignments: if the machine has seen others, they are to be fetched. */
    assignmentsVersion: count(),
    missingReport: missingReportSchema.nullable(),
    /** Whether the machine may go: nothing depends on it. */
    released: z.boolean(),
  }),
)

export const inventoryReportSchema = component(
  'WorkerInventory',
  z.strictObject({ incarnation, inventory: inventorySchema }),
)

export const benchmarkReportSchema = component(
  'WorkerBenchmark',
  z.strictObject({ incarnation, benchmark: benchmarkSchema }),
)

export const linksReportSchema = component(
  'WorkerLinks',
  z.strictObject({
    incarnation,
    links: z
      .array(
        z.strictObject({
          to: machineIdSchema,
          roundTripMs: millisecondsSchema(),
          bytesPerSecond: bytesPerSecondSchema(),
        }),
      )
      .max(256),
  }),
)

export const peersSchema = component(
  'WorkerPeers',
  z.object({
    peers: z.array(
      z.object({ machineId: machineIdSchema, linkAddress: linkAddressSchema, ...peerTicketShape }),
    ),
  }),
  'Machines to which the link is worth measuring now.',
)

export const workerLogSchema = component(
  'WorkerLog',
  z.strictObject({
    incarnation,
    lines: z
      .array(
        z.strictObject({
          at: timestampSchema,
          level: z.enum(['debug', 'info', 'warn', 'error']),
          stageId: stageIdSchema.nullable(),
          message: z.string().max(4000),
        }),
      )
      .min(1)
      .max(500),
  }),
)

export const leaveSchema = component(
  'WorkerLeave',
  z.strictObject({ incarnation, reason: line(200).optional() }),
)
