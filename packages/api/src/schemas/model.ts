import { z } from 'zod'
import { component, exemplified } from '../contract/registry.ts'
import { deploymentIdSchema, modelIdSchema } from './id.ts'
import { reasonSchema, weightTypeSchema } from './machine.ts'
import { bytesSchema, count, tokensSchema } from './quantity.ts'
import { digestSchema, modelNameSchema } from './text.ts'
import { timestampSchema } from './time.ts'
import { outgoingUrlSchema } from './url.ts'

const climbs = (path: string): boolean => path.split(/[\\/]/).includes('..')

/** A file or folder of the control plane's machine. Which folders are open is the operator's to say. */
const localPathSchema = exemplified(
  z
    .string()
    .max(1024)
    .regex(/^(?:\/|[A-Za-z]:[\\/])[^\p{Cc}\p{Cs}]*$/u, 'must be an absolute path')
    .refine((path) => !climbs(path), 'must not have ".." in it'),
  ['/models/nano-chat.gguf'],
)

const hubWord = '[A-Za-z0-9](?!.*\\.\\.)[A-Za-z0-9._-]{0,95}'

const repositorySchema = exemplified(
  z.string().regex(new RegExp(`^${hubWord}/${hubWord}$`), 'must be a repository such as owner/name'),
  ['example/tiny-8b'],
)

const revisionSchema = exemplified(
  z
    .string()
    .max(128)
    .regex(/^[A-Za-z0-9](?!.*\.\.)[A-Za-z0-9._/-]*$/, 'must be a branch, tag or commit'),
  ['main'],
)

const repositoryFileSchema = exemplified(
  z
    .string()
    .max(512)
    .regex(/^[^\p{Cc}\p{Cs}\\:?#]+$/u, 'must be a path within the repository')
    .refine(
      (path) => path.split('/').every((part) => part !== '' && part !== '.' && part !== '..'),
      'must not leave the repository',
    ),
  ['tiny-8b-Q8_0.gguf'],
)

export const modelSourceSchema = component(
  'ModelSource',
  z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('path'), path: localPathSchema }),
    z.strictObject({
      kind: z.literal('huggingface'),
      repository: repositorySchema,
      revision: revisionSchema.default('main'),
      /** Null takes the whole repository, as folders of safetensors need. */
      file: repositoryFileSchema.nullable().default(null),
      /** Another hub that speaks the same; null is the operator's choice. */
      hubUrl: outgoingUrlSchema.nullable().default(null),
    }),
  ]),
)
export type ModelSource = z.output<typeof modelSourceSchema>

export const modelStates = ['registering', 'downloading', 'ready', 'failed'] as const

/** The shape of a model, as far as people choose by it. */
export const modelShapeSchema = component(
  'ModelShape',
  z.object({
    architecture: exemplified(z.string(), ['llama']),
    parameters: count(),
    layers: count(),
    contextTokens: tokensSchema(),
    vocabulary: count(),
    weightTypes: z.array(weightTypeSchema),
    kvBytesPerToken: bytesSchema(),
  }),
)

export const progressSchema = component(
  'Progress',
  z.object({
    doneBytes: bytesSchema(),
    /** Null while it is not known. */
    totalBytes: bytesSchema().nullable(),
    bytesPerSecond: z.number().min(0).nullable(),
  }),
)

export const modelSchema = component(
  'Model',
  z.object({
    id: modelIdSchema,
    name: modelNameSchema,
    source: modelSourceSchema,
    state: z.enum(modelStates),
    reason: reasonSchema,
    progress: progressSchema.nullable(),
    shape: modelShapeSchema.nullable(),
    sizeBytes: bytesSchema().nullable(),
    /** Of the bytes, once they are all there. */
    digest: digestSchema.nullable(),
    deployments: z.array(deploymentIdSchema),
    createdAt: timestampSchema,
  }),
)
export type Model = z.output<typeof modelSchema>

/** One file of a model; its name is for people, its digest is what is fetched. */
export const modelFileSchema = component(
  'ModelFile',
  z.object({ name: z.string().min(1).max(512), digest: digestSchema, sizeBytes: bytesSchema() }),
)
export type ModelFile = z.output<typeof modelFileSchema>

/** How a blob is cut, so that parts of it can be fetched from anybody and still be trusted. */
export const blobPiecesSchema = component(
  'BlobPieces',
  z.object({
    digest: digestSchema,
    sizeBytes: bytesSchema(),
    /** Of each piece but the last, which may be shorter. */
    pieceBytes: z.int().min(1),
    /** In the order of the blob. */
    pieces: z.array(digestSchema),
  }),
)
export type BlobPieces = z.output<typeof blobPiecesSchema>

export const modelCreateSchema = component(
  'ModelCreate',
  z.strictObject({
    /** Without one, the name the source states. */
    name: modelNameSchema.optional(),
    source: modelSourceSchema,
    /** SHA-256 of the file; other bytes are refused. */
    digest: digestSchema.nullable().default(null),
  }),
)
