import { activationCodings, DomainError } from '@deos/domain'
import { kvTypes, rankCount, type TensorType, tensorTypes } from '@deos/engine'
import { z } from 'zod'

const atLeastZero = z.number().min(0)
const count = z.number().int().min(1)
const degree = count.max(1024).default(1)
const typeNames = Object.keys(tensorTypes) as [TensorType, ...TensorType[]]

/** What one worker is told to be: its place in a ring, its layers and its limits. */
const schema = z
  .strictObject({
    worker: z.string().min(1).max(128),
    ring: z.string().min(1).max(128),
    stage: z.number().int().min(0),
    stages: count,
    layers: z.strictObject({ first: z.number().int().min(0), end: count }),
    /** Among how many ranks the stage is divided: their product is their number. */
    split: z
      .strictObject({ tensor: degree, experts: degree, context: degree })
      .default({ tensor: 1, experts: 1, context: 1 }),
    /** Rank 0 is the one the ring sees; the others are told its address as that of the next stage. */
    rank: z.number().int().min(0).default(0),
    /** Where to accept links; port 0 lets the system choose. */
    listen: z.string().regex(/^.+:\d+$/, 'must be host:port'),
    /** File of the machine's key; null uses links that only the ring's secret protects. */
    machineKey: z.string().min(1).nullable().default(null),
    /** The relay where to wait, and the name: `host:port;key=…;circuit=…`; null where others can dial. */
    relay: z.string().max(400).nullable().default(null),
    model: z.strictObject({
      id: z.string().min(1),
      path: z.string().min(1),
      /** Known already, for copies that do not hold all bytes from which it is made. */
      fingerprint: z.string().min(1).max(128).nullable().default(null),
    }),
    weightType: z.enum(['native', ...typeNames]),
    kvType: z.enum(['auto', ...kvTypes]),
    kvBytes: count,
    /** Memory for blocks of K and V that came from other rings, kept for later prompts; 0 keeps none. */
    kvStoreBytes: z
      .number()
      .int()
      .min(0)
      .default(64 * 1024 * 1024),
    /** File that "deos model calibrate" wrote for this model: KV for other rings is coded with it. */
    calibration: z.string().min(1).nullable().default(null),
    contextLength: count,
    maxBatchTokens: count,
    /** How hidden states are written for the next stage; whoever reads them finds that out itself. */
    activations: z.enum(activationCodings).default('f32'),
    threads: count.max(512),
    device: z.string().nullable(),
    cacheDir: z.string().min(1),
    /** LoRA adapters that requests may name. */
    adapters: z
      .array(z.strictObject({ name: z.string().min(1).max(128), path: z.string().min(1) }))
      .refine((adapters) => new Set(adapters.map(({ name }) => name)).size === adapters.length, {
        message: 'must not name an adapter twice',
      }),
    /** Share of the machine's speed to use, for demonstrations. */
    speed: z.number().gt(0).max(1),
    /** What steps take at least, to imitate a slower engine in measurements. */
    pace: z
      .strictObject({ stepMs: atLeastZero, sessionMs: atLeastZero, promptTokenMs: atLeastZero })
      .optional(),
    /** Steps in flight at once; only stage 0 needs it. */
    microbatches: count,
    maxSessions: count,
    maxQueued: z.number().int().min(0),
    /** Whether sessions with a common beginning share its pages; only stage 0 needs it. */
    prefixCache: z.boolean(),
    /** Longest piece of a prompt in one step; only stage 0 needs it. */
    prefillChunkTokens: z.union([z.literal('auto'), count]),
  })
  .refine(({ stage, stages }) => stage < stages, { message: 'stage must be below stages', path: ['stage'] })
  .refine(({ rank, split }) => rank < rankCount(split), {
    message: 'must be below the number of ranks',
    path: ['rank'],
  })
  .refine(({ adapters, split }) => adapters.length === 0 || rankCount(split) === 1, {
    message: 'cannot be used by stages that are divided among ranks',
    path: ['adapters'],
  })
  .refine(({ layers }) => layers.first < layers.end, { message: 'must not be empty', path: ['layers'] })

export type Assignment = z.infer<typeof schema>

export class AssignmentError extends DomainError {
  readonly code = 'ASSIGNMENT'
  readonly retriable = false
}

/** @throws AssignmentError naming each field that is wrong */
export function parseAssignment(text: string | undefined): Assignment {
  if (!text) {
    throw new AssignmentError(
      'The worker was started without an assignment.',
      'Start workers with "deos serve", or set DEOS_ASSIGNMENT to the JSON that docs/operations.md describes.',
    )
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new AssignmentError('DEOS_ASSIGNMENT is not JSON.', 'See docs/operations.md.', { cause })
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(
    ({ path, message }) => `${path.join('.') || 'assignment'}: ${message}`,
  )
  throw new AssignmentError(`DEOS_ASSIGNMENT is wrong: ${problems.join('; ')}.`, 'See docs/operations.md.')
}
