import { z } from 'zod'
import { created, empty, json, page } from '../contract/answer.ts'
import { defineRoute } from '../contract/route.ts'
import { pageQuery } from '../pagination.ts'
import { joinTokenIdSchema, machineIdSchema } from '../schemas/id.ts'
import {
  joinTokenCreatedSchema,
  joinTokenCreateSchema,
  joinTokenSchema,
  machineLinksSchema,
  machineSchema,
  machineStateSchema,
  machineUpdateSchema,
  motiveSchema,
} from '../schemas/machine.ts'
import { queryBoolean, queryList } from '../schemas/query.ts'
import { line, locationWordSchema, slugSchema } from '../schemas/text.ts'
import { seriesSchema, timeWindowSchema } from '../schemas/time.ts'

const machine = { machine: machineIdSchema }
const changed = { answer: json(machineSchema), permission: 'machines:write', errors: ['conflict'] } as const

export const machineRoutes = {
  list: defineRoute({
    method: 'GET',
    path: '/machines',
    query: z.strictObject({
      ...pageQuery,
      name: slugSchema.optional(),
      state: queryList(machineStateSchema).optional(),
      region: locationWordSchema.optional(),
      provider: locationWordSchema.optional(),
    }),
    answer: page('MachinePage', machineSchema),
    permission: 'machines:read',
    summary: 'Machines, by name.',
  }),
  show: defineRoute({
    method: 'GET',
    path: '/machines/{machine}',
    params: machine,
    answer: json(machineSchema),
    permission: 'machines:read',
    summary: 'One machine.',
  }),
  links: defineRoute({
    method: 'GET',
    path: '/machines/{machine}/links',
    params: machine,
    answer: json(machineLinksSchema),
    permission: 'machines:read',
    summary: 'Measured links from and to a machine.',
  }),
  series: defineRoute({
    method: 'GET',
    path: '/machines/{machine}/series',
    params: machine,
    query: z.strictObject({ window: timeWindowSchema.default('1h') }),
    answer: json(seriesSchema),
    permission: 'machines:read',
    summary: 'What a machine did over time, for charts.',
  }),
  update: defineRoute({
    ...changed,
    method: 'PATCH',
    path: '/machines/{machine}',
    params: machine,
    body: machineUpdateSchema,
    summary: 'Change a machine’s name, location or price.',
  }),
  drain: defineRoute({
    ...changed,
    method: 'POST',
    path: '/machines/{machine}/drain',
    params: machine,
    body: motiveSchema,
    summary: 'Move everything off a machine and keep it empty.',
  }),
  cordon: defineRoute({
    ...changed,
    method: 'POST',
    path: '/machines/{machine}/cordon',
    params: machine,
    body: motiveSchema,
    summary: 'Keep new stages away from a machine; what runs there stays.',
  }),
  uncordon: defineRoute({
    ...changed,
    method: 'POST',
    path: '/machines/{machine}/uncordon',
    params: machine,
    body: motiveSchema,
    summary: 'Let a cordoned or drained machine take stages again.',
  }),
  quarantine: defineRoute({
    ...changed,
    method: 'POST',
    path: '/machines/{machine}/quarantine',
    params: machine,
    body: motiveSchema,
    summary: 'Take stages off a machine that is not to be trusted, without waiting for it.',
  }),
  release: defineRoute({
    ...changed,
    method: 'POST',
    path: '/machines/{machine}/release',
    params: machine,
    body: motiveSchema,
    summary: 'End the quarantines of a machine.',
  }),
  remove: defineRoute({
    method: 'DELETE',
    path: '/machines/{machine}',
    params: machine,
    query: z.strictObject({
      /** Remove it even if stages run on it; they are placed elsewhere. */
      force: queryBoolean().default(false),
      reason: line(200).optional(),
    }),
    answer: empty,
    permission: 'machines:write',
    errors: ['conflict'],
    summary: 'Remove a machine for good; its key may not join again without a token.',
  }),
}

export const joinTokenRoutes = {
  list: defineRoute({
    method: 'GET',
    path: '/join-tokens',
    query: z.strictObject({ ...pageQuery, all: queryBoolean().default(false) }),
    answer: page('JoinTokenPage', joinTokenSchema),
    permission: 'join-tokens:read',
    summary: 'Join tokens, newest first; with all, also those that no longer work.',
  }),
  create: defineRoute({
    method: 'POST',
    path: '/join-tokens',
    body: joinTokenCreateSchema,
    answer: created(joinTokenCreatedSchema),
    permission: 'join-tokens:write',
    idempotencyKey: true,
    summary: 'Create a token with which machines join; the answer alone holds it.',
  }),
  revoke: defineRoute({
    method: 'DELETE',
    path: '/join-tokens/{joinToken}',
    params: { joinToken: joinTokenIdSchema },
    answer: empty,
    permission: 'join-tokens:write',
    summary: 'Revoke a token; machines that joined with it stay.',
  }),
}
