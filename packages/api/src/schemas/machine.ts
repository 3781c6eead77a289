import { z } from 'zod'
import { component, exemplified } from '../contract/registry.ts'
import {
  deploymentIdSchema,
  joinTokenIdSchema,
  machineIdSchema,
  replicaIdSchema,
  stageIdSchema,
} from './id.ts'
import { priceSchema } from './money.ts'
import {
  bytesPerSecondSchema,
  bytesSchema,
  count,
  fraction,
  millisecondsSchema,
  ratePerSecond,
} from './quantity.ts'
import { line, locationWordSchema, secretSchema, sentence, slugSchema, versionSchema } from './text.ts'
import { timestampSchema } from './time.ts'

/** Why something is in the state it is in. */
export const reasonSchema = component(
  'Reason',
  z.object({
    message: sentence(),
    /** Null if it is not known since when. */
    since: timestampSchema.nullable(),
  }),
)
export type Reason = z.output<typeof reasonSchema>

export const machineStates = [
  'joining',
  'benchmarking',
  'ready',
  'draining',
  'offline',
  'quarantined',
] as const
export const machineStateSchema = z.enum(machineStates)
export type MachineState = z.output<typeof machineStateSchema>

/** As the engine names devices: `CPU`, `CUDA0`. */
export const deviceNameSchema = exemplified(
  z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.:-]{0,31}$/, 'must be the name of a device such as CUDA0'),
  ['CUDA0', 'CPU', 'Vulkan0'],
)

/** A type of weights: `F16`, `Q8_0`. */
export const weightTypeSchema = exemplified(
  z.string().regex(/^[A-Z][A-Z0-9_]{0,15}$/, 'must be a type of weights such as Q8_0'),
  ['F16', 'Q8_0', 'Q4_K'],
)

const osWord = (examples: readonly string[]) =>
  exemplified(z.string().regex(/^[a-z0-9_]{1,16}$/, 'must be as Node names it'), examples)

export const deviceInventorySchema = component(
  'DeviceInventory',
  z.strictObject({
    name: deviceNameSchema,
    description: line(200),
    kind: z.enum(['cpu', 'gpu']),
    memoryBytes: bytesSchema(),
  }),
)

export const inventorySchema = component(
  'MachineInventory',
  z.strictObject({
    hostname: line(253),
    platform: osWord(['linux', 'darwin', 'win32']),
    architecture: osWord(['x64', 'arm64']),
    cpuModel: line(200),
    cpuCores: z.int().min(1).max(65_536),
    memoryBytes: bytesSchema(),
    diskFreeBytes: bytesSchema(),
    devices: z.array(deviceInventorySchema).min(1).max(64),
  }),
  'What a machine says it consists of.',
)
export type Inventory = z.output<typeof inventorySchema>

export const deviceBenchmarkSchema = component(
  'DeviceBenchmark',
  z.strictObject({
    device: deviceNameSchema,
    weightBytesPerSecond: bytesPerSecondSchema(),
    flopsPerSecond: z
      .record(weightTypeSchema, ratePerSecond())
      .refine((flops) => Object.keys(flops).length <= 40, 'must not have more than 40 types'),
    hostBytesPerSecond: bytesPerSecondSchema().nullable(),
  }),
)

export const benchmarkSchema = component(
  'MachineBenchmark',
  z.strictObject({
    devices: z.array(deviceBenchmarkSchema).min(1).max(64),
    diskReadBytesPerSecond: bytesPerSecondSchema(),
  }),
  'What was measured of a machine.',
)
export type Benchmark = z.output<typeof benchmarkSchema>

export const locationSchema = component(
  'MachineLocation',
  z.strictObject({ region: locationWordSchema, provider: locationWordSchema }),
)

export const linkSchema = component(
  'Link',
  z.object({
    from: machineIdSchema,
    to: machineIdSchema,
    roundTripMs: millisecondsSchema(),
    bytesPerSecond: bytesPerSecondSchema(),
    measuredAt: timestampSchema,
  }),
)

export const leaseSchema = component(
  'Lease',
  z.object({
    lastHeartbeatAt: timestampSchema,
    expiresAt: timestampSchema,
  }),
)

/** What a machine is doing, as it said last. */
export const machineLoadSchema = component(
  'MachineLoad',
  z.object({
    cpuFraction: fraction(),
    memoryUsedBytes: bytesSchema(),
    devices: z.array(
      z.object({
        device: deviceNameSchema,
        /** Promised to stages. */
        promisedBytes: bytesSchema(),
        memoryBytes: bytesSchema(),
      }),
    ),
  }),
)

/** What an operator or the system decided about a machine, and why. */
const noteSchema = component('MachineNote', z.object({ reason: sentence(), at: timestampSchema }))

export const quarantineCauses = ['operator', 'benchmark', 'version'] as const

/** A stage that a machine holds. */
export const heldStageSchema = component(
  'HeldStage',
  z.object({ stageId: stageIdSchema, replicaId: replicaIdSchema, deploymentId: deploymentIdSchema }),
)

export const machineSchema = component(
  'Machine',
  z.object({
    id: machineIdSchema,
    name: slugSchema,
    location: locationSchema,
    state: machineStateSchema,
    reason: reasonSchema,
    /** Gets no new stages. */
    cordon: noteSchema.nullable(),
    /** Loses its stages, too. */
    drain: noteSchema.nullable(),
    quarantines: z.array(
      z.object({ cause: z.enum(quarantineCauses), reason: sentence(), at: timestampSchema }),
    ),
    version: versionSchema,
    /** Counts the processes that were this machine; only the newest is heard. */
    incarnation: z.int().min(1),
    pricePerHour: priceSchema.nullable(),
    lease: leaseSchema.nullable(),
    inventory: inventorySchema.nullable(),
    benchmark: benchmarkSchema.nullable(),
    benchmarkedAt: timestampSchema.nullable(),
    load: machineLoadSchema.nullable(),
    stages: z.array(heldStageSchema),
    joinedAt: timestampSchema,
  }),
)
export type Machine = z.output<typeof machineSchema>

export const machineLinksSchema = component('MachineLinks', z.object({ links: z.array(linkSchema) }))

export const machineUpdateSchema = component(
  'MachineUpdate',
  z.strictObject({
    name: slugSchema.optional(),
    location: locationSchema.optional(),
    pricePerHour: priceSchema.nullable().optional(),
  }),
)

/** Why something is done, for other people. */
export const motiveSchema = component('Motive', z.strictObject({ reason: line(200).optional() }))

export const joinTokenSchema = component(
  'JoinToken',
  z.object({
    id: joinTokenIdSchema,
    name: line(80),
    prefix: exemplified(z.string().max(24), ['deos_j_a1b2', 'deos_j_c3d4']),
    location: locationSchema.nullable(),
    /** Null is any number. */
    maxMachines: z.int().min(1).nullable(),
    joinedMachines: count(),
    createdAt: timestampSchema,
    expiresAt: timestampSchema,
    revokedAt: timestampSchema.nullable(),
    /** Whether machines may join with it now, and why not. */
    status: z.enum(['usable', 'expired', 'revoked', 'used up']),
  }),
)
export type JoinToken = z.output<typeof joinTokenSchema>

export const joinTokenCreateSchema = component(
  'JoinTokenCreate',
  z.strictObject({
    name: line(80),
    /** Where machines stand that do not say so themselves. */
    location: locationSchema.nullable().default(null),
    maxMachines: z.int().min(1).max(100_000).nullable().default(null),
    validHours: z.int().min(1).max(8760).default(24),
  }),
)

export const joinTokenCreatedSchema = component(
  'JoinTokenCreated',
  z.object({
    joinToken: joinTokenSchema,
    /** The whole token; shown only now. */
    secret: secretSchema('deos_j_'),
    /** A line to paste into a terminal of the machine. */
    command: z.string(),
  }),
)
