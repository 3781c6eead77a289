import { z } from 'zod'
import { component, exemplified } from '../contract/registry.ts'
import { keyIdSchema, projectIdSchema, userIdSchema } from './id.ts'
import { moneySchema } from './money.ts'
import { budgetSchema, rateLimitSchema } from './organisation.ts'
import { line, secretSchema } from './text.ts'
import { timestampSchema } from './time.ts'

/** `inference` uses models, `manage` changes what runs, `read` looks. */
export const keyScopes = ['inference', 'manage', 'read'] as const
export const keyScopeSchema = z.enum(keyScopes)
export type KeyScope = z.output<typeof keyScopeSchema>

const scopesSchema = z
  .array(keyScopeSchema)
  .min(1)
  .max(keyScopes.length)
  .refine((scopes) => new Set(scopes).size === scopes.length, 'must not name a scope twice')

export const keySchema = component(
  'ApiKey',
  z.object({
    id: keyIdSchema,
    name: line(80),
    /** The first characters of the secret, by which people recognise it. */
    prefix: exemplified(z.string().max(24), ['deos_k_a1b2', 'deos_k_c3d4', 'deos_k_e5f6']),
    scopes: z.array(keyScopeSchema),
    projectId: projectIdSchema,
    budget: budgetSchema.nullable(),
    rateLimit: rateLimitSchema,
    /** In the budget's current period; all time without one. Reservations included. */
    spent: moneySchema,
    createdBy: userIdSchema.nullable(),
    createdAt: timestampSchema,
    expiresAt: timestampSchema.nullable(),
    lastUsedAt: timestampSchema.nullable(),
    revokedAt: timestampSchema.nullable(),
  }),
)
export type ApiKey = z.output<typeof keySchema>

export const keyCreateSchema = component(
  'ApiKeyCreate',
  z.strictObject({
    name: line(80),
    scopes: scopesSchema.default(['inference']),
    /** Without one, the organisation's first project. */
    projectId: projectIdSchema.optional(),
    expiresAt: timestampSchema.nullable().default(null),
    budget: budgetSchema.nullable().default(null),
    rateLimit: rateLimitSchema.default({ requestsPerMinute: null, tokensPerMinute: null }),
  }),
)

export const keyUpdateSchema = component(
  'ApiKeyUpdate',
  z.strictObject({
    name: line(80).optional(),
    expiresAt: timestampSchema.nullable().optional(),
    budget: budgetSchema.nullable().optional(),
    rateLimit: rateLimitSchema.optional(),
  }),
)

export const keyCreatedSchema = component(
  'ApiKeyCreated',
  z.object({
    key: keySchema,
    /** The whole key; shown only now. */
    secret: secretSchema('deos_k_'),
  }),
)
