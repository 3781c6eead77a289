import type { SampledToken, SamplingParams } from '@deos/domain'
import type {
  FinishReason,
  GatewayToLeader,
  Message,
  Pooling,
  RejectCode,
  RingStatus,
  SessionNeeds,
  StageTime,
} from '../messages.ts'

/** A generation as the gateway wants it; `id` is never used twice. */
export interface ClientRequest {
  readonly id: string
  readonly tokens: Int32Array
  readonly maxTokens: number
  readonly stopTokens: readonly number[]
  readonly sampling: SamplingParams
  /** Budget from now until the last token; 0 is unlimited. */
  readonly deadlineMs: number
  readonly tenant: string
  readonly priority: number
  readonly needs: SessionNeeds
  /** Asks for one vector of the tokens instead of more tokens. */
  readonly pooling: Pooling | null
  /** W3C `traceparent` that stages report their part of the work under. Default none. */
  readonly trace?: string | null
  /**
   * Tokens that another ring generated for this request already: the answer continues behind them, and its first token
   * has their number as its index. They count for `maxTokens`. Default none.
   */
  readonly delivered?: readonly number[]
}

/** `leader` is the link to stage 0, `tail` the link to the last stage; a ring of one stage has one link for both. */
export type RingClientEvent =
  | { readonly type: 'connected'; readonly link: 'leader' | 'tail' }
  | { readonly type: 'lost'; readonly link: 'leader' | 'tail'; readonly reason: string }
  | { readonly type: 'message'; readonly link: 'leader' | 'tail'; readonly message: Message }
  | { readonly type: 'open'; readonly request: ClientRequest }
  | { readonly type: 'cancel'; readonly id: string }
  /** Have the ring keep pages for a prompt whose KV comes from another ring. */
  | { readonly type: 'import'; readonly request: ClientImport }
  /**
   * The KV of positions below is there; `open` the session next, under another id. The pages may be written until
   * `import-cancel` if they are to be kept.
   */
  | {
      readonly type: 'import-commit'
      readonly id: string
      readonly position: number
      readonly keep: boolean
    }
  | { readonly type: 'import-cancel'; readonly id: string }
  /** Nobody waits for this prompt any more: it stays until it is cancelled, or fails as its room is wanted. */
  | { readonly type: 'spare'; readonly id: string }
  | { readonly type: 'tick' }

/** `id` is never used twice, not for a request either; tenant and adapter are those of the request that follows. */
export interface ClientImport {
  readonly id: string
  readonly tokens: Int32Array
  readonly tenant: string
  readonly adapter: string | null
  readonly deadlineMs: number
}

export type ClientFailCode = 'unavailable' | 'deadline' | 'cancelled'

/** Each request is answered by tokens up to one with `finish` or by one `embedding`, by one `rejected` or one `failed`. */
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
      readonly times: readonly StageTime[]
      /** Positions of the prompt whose KV was still there. */
      readonly cachedTokens: number
    }
  /** `[hiddenSize]` float32. */
  | { readonly type: 'embedding'; readonly id: string; readonly vector: Float32Array }
  /** Refused before any token of this ring; a later try may succeed if `retryAfterMs` is above 0. */
  | {
      readonly type: 'rejected'
      readonly id: string
      readonly code: RejectCode
      readonly message: string
      readonly retryAfterMs: number
    }
  | { readonly type: 'failed'; readonly id: string; readonly code: ClientFailCode; readonly message: string }
  /** Every stage has pages for positions `[cachedTokens, end)`; those before are there already. */
  | {
      readonly type: 'import-ready'
      readonly id: string
      readonly cachedTokens: number
      readonly end: number
    }
  /** Nothing will be imported; compute the prompt. */
  | { readonly type: 'import-failed'; readonly id: string; readonly message: string }
  /** The ring stopped generating this request; it continues by itself when the ring is back. */
  | { readonly type: 'interrupted'; readonly id: string; readonly message: string }
  | { readonly type: 'status'; readonly ready: boolean; readonly status: RingStatus | null }
