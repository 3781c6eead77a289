import { z } from 'zod'
import { component } from '../contract/registry.ts'
import { userIdSchema } from './id.ts'
import { organisationSchema } from './organisation.ts'
import { roleSchema } from './role.ts'
import { emailSchema, line, secretSchema } from './text.ts'
import { timestampSchema } from './time.ts'

/** Long enough to resist guessing, short enough that hashing one is no burden. */
const passwordSchema = z.string().min(10).max(128)
const tokenSchema = z.string().min(16).max(512)

export const userSchema = component(
  'User',
  z.object({ id: userIdSchema, name: line(80), email: emailSchema, createdAt: timestampSchema }),
)
export type User = z.output<typeof userSchema>

export const membershipSchema = component(
  'Membership',
  z.object({ organisation: organisationSchema, role: roleSchema }),
)

/** Who is signed in. */
export const sessionSchema = component(
  'Session',
  z.object({
    user: userSchema.nullable(),
    memberships: z.array(membershipSchema),
    expiresAt: timestampSchema.nullable(),
    /** True until the first owner has been made by the link that the first start prints. */
    setupNeeded: z.boolean(),
  }),
)
export type Session = z.output<typeof sessionSchema>

export const signInSchema = component(
  'SignIn',
  z.strictObject({ email: emailSchema, password: z.string().min(1).max(128) }),
)

/** What the link of the first start, or of an invitation, asks for. */
export const setupSchema = component(
  'Setup',
  z.strictObject({
    token: tokenSchema,
    name: line(80),
    email: emailSchema,
    password: passwordSchema,
    organisation: line(80),
  }),
)

export const invitationAcceptSchema = component(
  'InvitationAccept',
  z.strictObject({
    token: tokenSchema,
    /** Needed of people who have no account yet. */
    account: z
      .strictObject({ name: line(80), password: passwordSchema })
      .nullable()
      .default(null),
  }),
)

/** Lets a signed-in person use models through a gateway, for as long as a page is open. */
export const inferenceTokenSchema = component(
  'InferenceToken',
  z.object({
    /** Sent to the gateway as an API key is. */
    token: secretSchema('deos_t_'),
    expiresAt: timestampSchema,
  }),
)

export const passwordChangeSchema = component(
  'PasswordChange',
  z.strictObject({ current: z.string().min(1).max(128), next: passwordSchema }),
)
