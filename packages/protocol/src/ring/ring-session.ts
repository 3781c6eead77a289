import type { OpenRequest, SessionKey } from '../messages.ts'
import type { Holding } from './memory/kv-memory.ts'
import { TokenSequence } from './memory/token-sequence.ts'
import type { Tenant } from './scheduling/tenant-shares.ts'

/** A session while it is open in the ring; when it has to make room it ends, and another begins later. */
export interface Stay {
  readonly key: SessionKey
  readonly session: RingSession
  readonly holding: Holding
  /** Tokens there were when it opened: all of them are prompt to the ring. */
  readonly promptLength: number
  /** Positions sent into the ring. */
  sent: number
  /** Pages that the stages know of. */
  pagesTold: number
  /** Tokens of it that steps under way will bring. */
  awaited: number
  /** It stands in line for its next token. */
  ready: boolean
  /** It makes room as soon as its tokens are here. */
  leaving: boolean
  over: boolean
}

/** Requests with the same scope may share KV. */
export const cacheScope = (tenant: string, adapter: string | null): string =>
  JSON.stringify([tenant, adapter])

/** A request from its arrival to its last token. */
export class RingSession {
  /** Prompt and generated tokens. */
  readonly tokens: TokenSequence
  /** Requests that may share KV have the same; `null` shares none. */
  readonly scope: string | null
  /** `null` while it waits. */
  stay: Stay | null = null
  /** It was open at least once, so that the gateway may have tokens of it. */
  started = false
  /** Positions that were paid for; what is computed again is not. */
  paid = 0
  /** Positions of its prompt still to compute, as estimated when it began to wait. */
  estimate = 0
  /** Nobody waits for it any more: it ends as soon as its place or pages are wanted. */
  spare = false
  /** While it waits: somebody else's prompt that begins alike, and how far that must get. */
  follows: { readonly stay: Stay; readonly until: number } | null = null

  constructor(
    readonly request: OpenRequest,
    readonly gateway: string,
    /** Counts requests. */
    readonly arrival: number,
    readonly deadlineMs: number,
    readonly tenant: Tenant,
    prefixCache: boolean,
  ) {
    this.tokens = new TokenSequence(request.tokens)
    const { pooling, needs } = request
    // A mean needs the hidden state of every position, so that all have to be computed.
    this.scope = prefixCache && pooling !== 'mean' ? cacheScope(tenant.name, needs.adapter) : null
  }

  get priority(): number {
    return this.request.priority
  }

  get pooling(): boolean {
    return this.request.pooling !== null
  }

  /** Its prompt is computed and kept, and nothing is sampled. */
  get promptOnly(): boolean {
    return this.request.maxTokens === 0 && !this.pooling
  }

  /** Generated tokens, those before a resume included. */
  get generated(): number {
    return this.request.resumed + this.tokens.length - this.request.tokens.length
  }

  /** Positions of the prompt that the ring still has to compute. */
  get remaining(): number {
    return this.stay === null ? this.estimate : this.stay.promptLength - this.stay.sent
  }

  get needsPreparing(): boolean {
    const { adapter, grammar } = this.request.needs
    return adapter !== null || grammar !== null
  }
}
