import { z } from 'zod'
import { component } from '../contract/registry.ts'
import { invitationIdSchema, userIdSchema } from './id.ts'
import { roleSchema } from './role.ts'
import { emailSchema, line } from './text.ts'
import { timestampSchema } from './time.ts'

export const memberSchema = component(
  'Member',
  z.object({
    userId: userIdSchema,
    name: line(80),
    email: emailSchema,
    role: roleSchema,
    joinedAt: timestampSchema,
    lastSeenAt: timestampSchema.nullable(),
  }),
)
export type Member = z.output<typeof memberSchema>

export const memberUpdateSchema = component('MemberUpdate', z.strictObject({ role: roleSchema }))

export const invitationStates = ['pending', 'accepted', 'revoked', 'expired'] as const

export const invitationSchema = component(
  'Invitation',
  z.object({
    id: invitationIdSchema,
    email: emailSchema,
    role: roleSchema,
    state: z.enum(invitationStates),
    invitedBy: userIdSchema,
    createdAt: timestampSchema,
    expiresAt: timestampSchema,
  }),
)
export type Invitation = z.output<typeof invitationSchema>

export const invitationCreateSchema = component(
  'InvitationCreate',
  z.strictObject({
    email: emailSchema,
    role: roleSchema,
    validDays: z.int().min(1).max(30).default(7),
  }),
)

export const invitationCreatedSchema = component(
  'InvitationCreated',
  z.object({
    invitation: invitationSchema,
    /** Where the invited person goes; shown only now. */
    link: z.url(),
  }),
)
