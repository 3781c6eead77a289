import { z } from 'zod'

const offset = z.int().min(0)

/** What one machine asks of another, one after another on a connection. */
export const peerRequestSchema = z.discriminatedUnion('type', [
  /** Answered by `done` at once: for round trips. */
  z.object({ type: z.literal('ping') }),
  /** Comes with a payload that is thrown away and answered by `done`: for bandwidth. */
  z.object({ type: z.literal('take') }),
  /** Bytes of a blob; answered by any number of `bytes` with payloads and `done`, or by `problem`. */
  z.object({ type: z.literal('read'), digest: z.string().max(80), first: offset, end: offset }),
])
export type PeerRequest = z.infer<typeof peerRequestSchema>

export const peerAnswerSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('done') }),
  z.object({ type: z.literal('bytes') }),
  z.object({ type: z.literal('problem'), message: z.string().max(2000) }),
])
export type PeerAnswer = z.infer<typeof peerAnswerSchema>
