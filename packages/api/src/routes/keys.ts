import { z } from 'zod'
import { created, empty, json, page } from '../contract/answer.ts'
import { defineRoute } from '../contract/route.ts'
import { pageQuery } from '../pagination.ts'
import { keyIdSchema, projectIdSchema } from '../schemas/id.ts'
import { keyCreatedSchema, keyCreateSchema, keySchema, keyUpdateSchema } from '../schemas/key.ts'
import { queryBoolean } from '../schemas/query.ts'

const key = { key: keyIdSchema }

export const keyRoutes = {
  list: defineRoute({
    method: 'GET',
    path: '/keys',
    query: z.strictObject({
      ...pageQuery,
      project: projectIdSchema.optional(),
      /** Whether revoked and expired ones are listed too. */
      all: queryBoolean().default(false),
    }),
    answer: page('ApiKeyPage', keySchema),
    permission: 'keys:read',
    summary: 'API keys, newest first; secrets are never shown again.',
  }),
  create: defineRoute({
    method: 'POST',
    path: '/keys',
    body: keyCreateSchema,
    answer: created(keyCreatedSchema),
    permission: 'keys:write',
    idempotencyKey: true,
    summary: 'Create an API key; the answer alone holds its secret.',
  }),
  show: defineRoute({
    method: 'GET',
    path: '/keys/{key}',
    params: key,
    answer: json(keySchema),
    permission: 'keys:read',
    summary: 'One API key.',
  }),
  update: defineRoute({
    method: 'PATCH',
    path: '/keys/{key}',
    params: key,
    body: keyUpdateSchema,
    answer: json(keySchema),
    permission: 'keys:write',
    errors: ['conflict'],
    summary: 'Change a key’s name, end, budget or limits.',
  }),
  revoke: defineRoute({
    method: 'DELETE',
    path: '/keys/{key}',
    params: key,
    answer: empty,
    permission: 'keys:write',
    summary: 'Revoke a key at once and for good.',
  }),
}
