import type { SampledToken, SamplingParams } from '@deos/domain'
import type { FinishReason, GatewayToLeader, Message, RejectCode, RingStatus } from '../messages.ts'

/** A generation as the gateway wants it; `id` is never used twice. */
export interface ClientRequest {
  readonly id: string
  readonly tokens: Int32Array
  readonly maxTokens: number
  readonly stopTokens: readonly number[]
  readonly sampling: SamplingParams
  /** Budget from now until the last token; 0 is unlimited. */
  readonly deadlineMs: number
}

/** `leader` is the link to stage 0, `tail` the link to the last stage; a ring of one stage has one link for both. */
export type RingClientEvent =
  | { readonly type: 'connected'; readonly link: 'leader' | 'tail' }
  | { readonly type: 'lost'; readonly link: 'leader' | 'tail'; readonly reason: string }
  | { readonly type: 'message'; readonly link: 'leader' | 'tail'; readonly message: Message }
  | { readonly type: 'open'; readonly request: ClientRequest }
  | { readonly type: 'cancel'; readonly id: string }
  | { readonly type: 'tick' }

export type ClientFailCode = 'unavailable' | 'deadline' | 'cancelled'

/** Each request is answered by tokens up to one with `finish`, or by one `rejected`, or by one `failed`. */
export type RingClientEffect =
  | { readonly type: 'send-leader'; readonly message: GatewayToLeader }
  /** The peer broke the protocol; close its link. */
  | { readonly type: 'close-link'; readonly link: 'leader' | 'tail'; readonly reason: string }
  | {
      readonly type: 'token'
      readonly id: string
      readonly index: number
      readonly sampled: SampledToken
      readonly finish: FinishReason | null
      readonly engineUs: number
    }
  /** Refused before any token; a later try may succeed if `retryAfterMs` is above 0. */
  | {
      readonly type: 'rejected'
      readonly id: string
      readonly code: RejectCode
      readonly message: string
      readonly retryAfterMs: number
    }
  | { readonly type: 'failed'; readonly id: string; readonly code: ClientFailCode; readonly message: string }
  /** The ring stopped generating this request; it continues by itself when the ring is back. */
  | { readonly type: 'interrupted'; readonly id: string; readonly message: string }
  | { readonly type: 'status'; readonly ready: boolean; readonly status: RingStatus | null }
