import { z } from 'zod'
import { component } from '../contract/registry.ts'
import { organisationIdSchema, projectIdSchema } from './id.ts'
import { moneySchema, priceSchema } from './money.ts'
import { count } from './quantity.ts'
import { line, slugSchema } from './text.ts'
import { timestampSchema } from './time.ts'

export const organisationSchema = component(
  'Organisation',
  z.object({
    id: organisationIdSchema,
    slug: slugSchema,
    name: line(80),
    createdAt: timestampSchema,
  }),
)
export type Organisation = z.output<typeof organisationSchema>

export const organisationCreateSchema = component(
  'OrganisationCreate',
  z.strictObject({ slug: slugSchema, name: line(80) }),
)

export const organisationUpdateSchema = component(
  'OrganisationUpdate',
  z.strictObject({ name: line(80).optional() }),
)

/** What may be spent in each period; enforced by reserving before work begins. */
export const budgetSchema = component(
  'Budget',
  z.strictObject({ limit: priceSchema, period: z.enum(['day', 'week', 'month', 'total']) }),
)
export type Budget = z.output<typeof budgetSchema>

/** Of each minute; null is no limit. */
export const rateLimitSchema = component(
  'RateLimit',
  z.strictObject({
    requestsPerMinute: z.int().min(1).max(10_000_000).nullable(),
    tokensPerMinute: z.int().min(1).max(10_000_000_000).nullable(),
  }),
)
export type RateLimit = z.output<typeof rateLimitSchema>

export const projectSchema = component(
  'Project',
  z.object({
    id: projectIdSchema,
    organisationId: organisationIdSchema,
    name: slugSchema,
    title: line(80),
    budget: budgetSchema.nullable(),
    rateLimit: rateLimitSchema,
    /** In the budget's current period; all time without one. Reservations included. */
    spent: moneySchema,
    deployments: count(),
    keys: count(),
    createdAt: timestampSchema,
  }),
)
export type Project = z.output<typeof projectSchema>

export const projectCreateSchema = component(
  'ProjectCreate',
  z.strictObject({
    name: slugSchema,
    title: line(80).optional(),
    budget: budgetSchema.nullable().default(null),
    rateLimit: rateLimitSchema.default({ requestsPerMinute: null, tokensPerMinute: null }),
  }),
)

export const projectUpdateSchema = component(
  'ProjectUpdate',
  z.strictObject({
    title: line(80).optional(),
    budget: budgetSchema.nullable().optional(),
    rateLimit: rateLimitSchema.optional(),
  }),
)
