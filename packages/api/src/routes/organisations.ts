import { z } from 'zod'
import { created, empty, json, page } from '../contract/answer.ts'
import { defineRoute } from '../contract/route.ts'
import { pageQuery } from '../pagination.ts'
import { invitationIdSchema, organisationIdSchema, projectIdSchema, userIdSchema } from '../schemas/id.ts'
import {
  invitationCreatedSchema,
  invitationCreateSchema,
  invitationSchema,
  invitationStates,
  memberSchema,
  memberUpdateSchema,
} from '../schemas/member.ts'
import {
  organisationCreateSchema,
  organisationSchema,
  organisationUpdateSchema,
  projectCreateSchema,
  projectSchema,
  projectUpdateSchema,
} from '../schemas/organisation.ts'
import { queryList } from '../schemas/query.ts'
import { settingsSchema, settingsUpdateSchema } from '../schemas/settings.ts'
import { slugSchema } from '../schemas/text.ts'

const organisation = { organisation: organisationIdSchema }
const project = { project: projectIdSchema }
const member = { user: userIdSchema }

export const organisationRoutes = {
  list: defineRoute({
    method: 'GET',
    path: '/organisations',
    query: z.strictObject(pageQuery),
    answer: page('OrganisationPage', organisationSchema),
    permission: 'account',
    summary: 'The organisations one is a member of.',
  }),
  create: defineRoute({
    method: 'POST',
    path: '/organisations',
    body: organisationCreateSchema,
    answer: created(organisationSchema),
    permission: 'account',
    errors: ['conflict'],
    idempotencyKey: true,
    summary: 'Found an organisation and become its owner.',
  }),
  show: defineRoute({
    method: 'GET',
    path: '/organisations/{organisation}',
    params: organisation,
    answer: json(organisationSchema),
    permission: 'organisation:read',
    summary: 'One organisation.',
  }),
  update: defineRoute({
    method: 'PATCH',
    path: '/organisations/{organisation}',
    params: organisation,
    body: organisationUpdateSchema,
    answer: json(organisationSchema),
    permission: 'organisation:write',
    summary: 'Rename an organisation.',
  }),
  remove: defineRoute({
    method: 'DELETE',
    path: '/organisations/{organisation}',
    params: organisation,
    answer: empty,
    permission: 'organisation:delete',
    errors: ['conflict'],
    summary: 'Close an organisation that has neither machines nor deployments left.',
  }),
}

export const projectRoutes = {
  list: defineRoute({
    method: 'GET',
    path: '/projects',
    query: z.strictObject({ ...pageQuery, name: slugSchema.optional() }),
    answer: page('ProjectPage', projectSchema),
    permission: 'projects:read',
    summary: 'Projects, by name.',
  }),
  create: defineRoute({
    method: 'POST',
    path: '/projects',
    body: projectCreateSchema,
    answer: created(projectSchema),
    permission: 'projects:write',
    errors: ['conflict'],
    idempotencyKey: true,
    summary: 'Create a project.',
  }),
  show: defineRoute({
    method: 'GET',
    path: '/projects/{project}',
    params: project,
    answer: json(projectSchema),
    permission: 'projects:read',
    summary: 'One project.',
  }),
  update: defineRoute({
    method: 'PATCH',
    path: '/projects/{project}',
    params: project,
    body: projectUpdateSchema,
    answer: json(projectSchema),
    permission: 'projects:write',
    summary: 'Change a project’s title, budget or limits.',
  }),
  remove: defineRoute({
    method: 'DELETE',
    path: '/projects/{project}',
    params: project,
    answer: empty,
    permission: 'projects:write',
    errors: ['conflict'],
    summary: 'Remove a project without deployments; its keys are revoked.',
  }),
}

export const memberRoutes = {
  list: defineRoute({
    method: 'GET',
    path: '/members',
    query: z.strictObject(pageQuery),
    answer: page('MemberPage', memberSchema),
    permission: 'members:read',
    summary: 'Members of the organisation.',
  }),
  update: defineRoute({
    method: 'PATCH',
    path: '/members/{user}',
    params: member,
    body: memberUpdateSchema,
    answer: json(memberSchema),
    permission: 'members:write',
    errors: ['conflict'],
    summary: 'Give a member another role; only owners make owners, and one stays.',
  }),
  remove: defineRoute({
    method: 'DELETE',
    path: '/members/{user}',
    params: member,
    answer: empty,
    permission: 'members:write',
    errors: ['conflict'],
    summary: 'Remove a member; the last owner stays.',
  }),
}

export const invitationRoutes = {
  list: defineRoute({
    method: 'GET',
    path: '/invitations',
    query: z.strictObject({ ...pageQuery, state: queryList(z.enum(invitationStates)).optional() }),
    answer: page('InvitationPage', invitationSchema),
    permission: 'members:read',
    summary: 'Invitations, newest first.',
  }),
  create: defineRoute({
    method: 'POST',
    path: '/invitations',
    body: invitationCreateSchema,
    answer: created(invitationCreatedSchema),
    permission: 'members:write',
    errors: ['conflict'],
    idempotencyKey: true,
    summary: 'Invite a person; the link is shown once.',
  }),
  revoke: defineRoute({
    method: 'DELETE',
    path: '/invitations/{invitation}',
    params: { invitation: invitationIdSchema },
    answer: empty,
    permission: 'members:write',
    errors: ['conflict'],
    summary: 'Take an invitation back.',
  }),
}

export const settingsRoutes = {
  show: defineRoute({
    method: 'GET',
    path: '/settings',
    answer: json(settingsSchema),
    permission: 'settings:read',
    summary: 'The organisation’s settings.',
  }),
  update: defineRoute({
    method: 'PATCH',
    path: '/settings',
    body: settingsUpdateSchema,
    answer: json(settingsSchema),
    permission: 'settings:write',
    summary: 'Change settings; fields left out stay as they are.',
  }),
}
