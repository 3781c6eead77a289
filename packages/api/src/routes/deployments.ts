import { z } from 'zod'
import { created, json, page, stream } from '../contract/answer.ts'
import { defineRoute } from '../contract/route.ts'
import { pageQuery } from '../pagination.ts'
import {
  deploymentCreateSchema,
  deploymentDetailSchema,
  deploymentLiveSchema,
  deploymentSchema,
  deploymentStateSchema,
  logLevels,
  logLineSchema,
  reviseSchema,
  revisionSchema,
  rollbackSchema,
  scaleSchema,
} from '../schemas/deployment.ts'
import { deploymentIdSchema, modelIdSchema, projectIdSchema, replicaIdSchema } from '../schemas/id.ts'
import { motiveSchema } from '../schemas/machine.ts'
import { previewRequestSchema, previewSchema } from '../schemas/placement.ts'
import { queryList } from '../schemas/query.ts'
import { line, slugSchema } from '../schemas/text.ts'
import { seriesSchema, timeWindowSchema } from '../schemas/time.ts'

const deployment = { deployment: deploymentIdSchema }
const changed = {
  answer: json(deploymentSchema, 202),
  permission: 'deployments:write',
  errors: ['conflict'],
} as const

const logFilter = {
  level: z.enum(logLevels).optional(),
  replica: replicaIdSchema.optional(),
}

export const deploymentRoutes = {
  list: defineRoute({
    method: 'GET',
    path: '/deployments',
    query: z.strictObject({
      ...pageQuery,
      name: slugSchema.optional(),
      project: projectIdSchema.optional(),
      model: modelIdSchema.optional(),
      state: queryList(deploymentStateSchema).optional(),
    }),
    answer: page('DeploymentPage', deploymentSchema),
    permission: 'deployments:read',
    summary: 'Deployments, by name.',
  }),
  preview: defineRoute({
    method: 'POST',
    path: '/deployments/preview',
    body: previewRequestSchema,
    answer: json(previewSchema),
    permission: 'deployments:read',
    errors: ['conflict'],
    summary: 'Where a deployment would be placed, and what it would cost; nothing is started.',
  }),
  create: defineRoute({
    method: 'POST',
    path: '/deployments',
    body: deploymentCreateSchema,
    answer: created(deploymentSchema),
    permission: 'deployments:write',
    errors: ['conflict', 'budget-exhausted'],
    idempotencyKey: true,
    summary: 'Wish for a deployment; the system makes it so and keeps it so.',
  }),
  show: defineRoute({
    method: 'GET',
    path: '/deployments/{deployment}',
    params: deployment,
    answer: json(deploymentDetailSchema),
    permission: 'deployments:read',
    summary: 'One deployment with its replicas and their stages.',
  }),
  scale: defineRoute({
    ...changed,
    method: 'POST',
    path: '/deployments/{deployment}/scale',
    params: deployment,
    body: scaleSchema,
    summary: 'Change how many replicas are wished for, within the bounds of the spec.',
  }),
  revise: defineRoute({
    ...changed,
    method: 'POST',
    path: '/deployments/{deployment}/revisions',
    params: deployment,
    body: reviseSchema,
    idempotencyKey: true,
    summary: 'Wish for something else in some fields; replicas are replaced one after the other.',
  }),
  revisions: defineRoute({
    method: 'GET',
    path: '/deployments/{deployment}/revisions',
    params: deployment,
    query: z.strictObject(pageQuery),
    answer: page('RevisionPage', revisionSchema),
    permission: 'deployments:read',
    summary: 'What was wished for, newest first.',
  }),
  rollback: defineRoute({
    ...changed,
    method: 'POST',
    path: '/deployments/{deployment}/rollback',
    params: deployment,
    body: rollbackSchema,
    summary: 'Make an earlier revision the active one; what still runs of it is used at once.',
  }),
  pause: defineRoute({
    ...changed,
    method: 'POST',
    path: '/deployments/{deployment}/pause',
    params: deployment,
    body: motiveSchema,
    summary: 'Let sessions finish, then free the machines; the wish stays.',
  }),
  resume: defineRoute({
    ...changed,
    method: 'POST',
    path: '/deployments/{deployment}/resume',
    params: deployment,
    summary: 'Start a paused deployment again.',
  }),
  remove: defineRoute({
    ...changed,
    method: 'DELETE',
    path: '/deployments/{deployment}',
    params: deployment,
    query: z.strictObject({ reason: line(200).optional() }),
    summary: 'Let sessions finish, then remove a deployment for good.',
  }),
  live: defineRoute({
    method: 'GET',
    path: '/deployments/{deployment}/live',
    params: deployment,
    answer: stream(deploymentLiveSchema),
    permission: 'deployments:read',
    summary: 'What the rings of a deployment do, about once a second.',
  }),
  series: defineRoute({
    method: 'GET',
    path: '/deployments/{deployment}/series',
    params: deployment,
    query: z.strictObject({ window: timeWindowSchema.default('1h') }),
    answer: json(seriesSchema),
    permission: 'deployments:read',
    summary: 'What a deployment did over time, for charts.',
  }),
  logs: defineRoute({
    method: 'GET',
    path: '/deployments/{deployment}/logs',
    params: deployment,
    query: z.strictObject({ ...pageQuery, ...logFilter }),
    answer: page('LogPage', logLineSchema),
    permission: 'deployments:read',
    summary: 'Log lines, newest first.',
  }),
  followLogs: defineRoute({
    method: 'GET',
    path: '/deployments/{deployment}/logs/stream',
    params: deployment,
    query: z.strictObject(logFilter),
    answer: stream(logLineSchema),
    permission: 'deployments:read',
    summary: 'Log lines as they are written; ids are their sequence numbers.',
  }),
}
