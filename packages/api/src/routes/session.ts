import { empty, json } from '../contract/answer.ts'
import { defineRoute } from '../contract/route.ts'
import {
  inferenceTokenSchema,
  invitationAcceptSchema,
  passwordChangeSchema,
  sessionSchema,
  setupSchema,
  signInSchema,
} from '../schemas/session.ts'
import { versionInfoSchema } from '../schemas/status.ts'

export const sessionRoutes = {
  version: defineRoute({
    method: 'GET',
    path: '/version',
    answer: json(versionInfoSchema),
    permission: 'public',
    summary: 'What runs here, and which machines may join it.',
  }),
  show: defineRoute({
    method: 'GET',
    path: '/session',
    answer: json(sessionSchema),
    permission: 'public',
    summary: 'Who is signed in; nobody is no error.',
  }),
  signIn: defineRoute({
    method: 'POST',
    path: '/session',
    body: signInSchema,
    answer: json(sessionSchema),
    permission: 'public',
    errors: ['unauthenticated'],
    summary: 'Sign in with e-mail and password; the answer sets a cookie.',
  }),
  signOut: defineRoute({
    method: 'DELETE',
    path: '/session',
    answer: empty,
    permission: 'public',
    summary: 'Sign out. Nothing happens to who is not signed in.',
  }),
  setUp: defineRoute({
    method: 'POST',
    path: '/session/setup',
    body: setupSchema,
    answer: json(sessionSchema),
    permission: 'public',
    errors: ['gone'],
    summary: 'Make the first owner and organisation, by the link that the first start prints.',
  }),
  acceptInvitation: defineRoute({
    method: 'POST',
    path: '/session/invitation',
    body: invitationAcceptSchema,
    answer: json(sessionSchema),
    permission: 'public',
    errors: ['gone', 'unauthenticated'],
    summary: 'Accept an invitation, with the account one is signed in to or with a new one.',
  }),
  inferenceToken: defineRoute({
    method: 'POST',
    path: '/session/inference-token',
    answer: json(inferenceTokenSchema),
    permission: 'playground:use',
    summary: 'A token for the gateway that lasts a quarter of an hour; requests count for the first project.',
  }),
  changePassword: defineRoute({
    method: 'PUT',
    path: '/session/password',
    body: passwordChangeSchema,
    answer: empty,
    permission: 'account',
    summary: 'Change one’s own password; other sessions end.',
  }),
}
