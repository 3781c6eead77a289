import { z } from 'zod'
import { created, empty, json, page, stream } from '../contract/answer.ts'
import { defineRoute } from '../contract/route.ts'
import { pageQuery } from '../pagination.ts'
import { aliasSchema, aliasSetSchema } from '../schemas/alias.ts'
import { modelIdSchema } from '../schemas/id.ts'
import { modelCreateSchema, modelSchema, modelStates } from '../schemas/model.ts'
import { queryList } from '../schemas/query.ts'
import { modelNameSchema } from '../schemas/text.ts'

const model = { model: modelIdSchema }
const alias = { alias: modelNameSchema }

export const modelRoutes = {
  list: defineRoute({
    method: 'GET',
    path: '/models',
    query: z.strictObject({
      ...pageQuery,
      name: modelNameSchema.optional(),
      state: queryList(z.enum(modelStates)).optional(),
    }),
    answer: page('ModelPage', modelSchema),
    permission: 'models:read',
    summary: 'Models, by name.',
  }),
  create: defineRoute({
    method: 'POST',
    path: '/models',
    body: modelCreateSchema,
    answer: created(modelSchema),
    permission: 'models:write',
    errors: ['conflict'],
    idempotencyKey: true,
    summary: 'Register a model; where it is not local, its download begins.',
  }),
  show: defineRoute({
    method: 'GET',
    path: '/models/{model}',
    params: model,
    answer: json(modelSchema),
    permission: 'models:read',
    summary: 'One model.',
  }),
  watch: defineRoute({
    method: 'GET',
    path: '/models/{model}/stream',
    params: model,
    answer: stream(modelSchema),
    permission: 'models:read',
    summary: 'A model whenever it changes, until it is ready or has failed.',
  }),
  retry: defineRoute({
    method: 'POST',
    path: '/models/{model}/retry',
    params: model,
    answer: json(modelSchema, 202),
    permission: 'models:write',
    errors: ['conflict'],
    summary: 'Go on with a registration that failed; what is there already is not fetched again.',
  }),
  remove: defineRoute({
    method: 'DELETE',
    path: '/models/{model}',
    params: model,
    answer: empty,
    permission: 'models:write',
    errors: ['conflict'],
    summary: 'Remove a model that no deployment uses.',
  }),
}

export const aliasRoutes = {
  list: defineRoute({
    method: 'GET',
    path: '/aliases',
    query: z.strictObject(pageQuery),
    answer: page('AliasPage', aliasSchema),
    permission: 'deployments:read',
    summary: 'Other names under which requests reach deployments.',
  }),
  set: defineRoute({
    method: 'PUT',
    path: '/aliases/{alias}',
    params: alias,
    body: aliasSetSchema,
    answer: json(aliasSchema),
    permission: 'deployments:write',
    errors: ['conflict'],
    summary: 'Let a name mean a deployment, from the next request on.',
  }),
  remove: defineRoute({
    method: 'DELETE',
    path: '/aliases/{alias}',
    params: alias,
    answer: empty,
    permission: 'deployments:write',
    summary: 'Remove a name.',
  }),
}
