import { type SessionId, sessionId } from '@deos/domain'
import type {
  EmbeddingDelivery,
  Failed,
  Message,
  OpenRequest,
  Rejected,
  RingStatus,
  TokenDelivery,
} from '../messages.ts'
import type {
  ClientFailCode,
  ClientImport,
  ClientRequest,
  RingClientEffect,
  RingClientEvent,
} from './ring-client-events.ts'

export interface RingClientOptions {
  /** How long an interrupted request may wait for the ring to come back. */
  readonly resumePatienceMs: number
}

export const defaultClientOptions: RingClientOptions = { resumePatienceMs: 60_000 }

interface ClientSession {
  readonly request: ClientRequest
  readonly deadlineMs: number
  /** Those of another ring included. */
  readonly delivered: number[]
  /** Of the first attempt; what a resumed one finds is its own former work. */
  cachedTokens: number | null
  attempt: number
  /** Interruptions since the last token. */
  fruitless: number
  /** Id of the attempt under way; `null` while waiting for the ring. */
  wire: SessionId | null
  interruptedMs: number
  retryMs: number
  /** Nobody waits for it: it is not begun again. */
  spare: boolean
}

/** The leader enforces deadlines; this much later the client stops believing that it will. */
const DEADLINE_GRACE_MS = 2_000
/** A request that stops the ring each time it runs must not do so for ever. */
const MAX_FRUITLESS = 8
const NOT_READY_RETRY_MS = 1_000

/**
 * The gateway's side of one ring. Requests travel to the leader, tokens come from the last stage, and when the ring
 * or a link fails the client opens the session anew with prompt and delivered tokens as soon as the ring is back:
 * sampling depends on seed and position only, so the answer continues as if nothing had happened.
 *
 * Every attempt has its own id on the wire, so that late tokens of a failed attempt are recognised and dropped.
 */
export class RingClient {
  #leaderLinked = false
  #tailLinked = false
  #status: RingStatus | null = null
  readonly #sessions = new Map<string, ClientSession>()
  readonly #byWire = new Map<SessionId, ClientSession>()
  /** Whether nothing more is told of them: their pages are filled, and only kept for better copies. */
  readonly #imports = new Map<string, { readonly kept: boolean }>()

  constructor(private readonly options: RingClientOptions = defaultClientOptions) {}

  /** Both links are up and the leader takes requests. */
  get ready(): boolean {
    return this.#leaderLinked && this.#tailLinked && this.#status?.ready === true
  }

  /** As the leader last told; `null` without a link to it. */
  get status(): RingStatus | null {
    return this.#status
  }

  /** Requests that have no final answer yet. */
  get open(): number {
    return this.#sessions.size
  }

  /** @param nowMs - monotonic; never less than in the event before */
  onEvent(event: RingClientEvent, nowMs: number): readonly RingClientEffect[] {
    const out: RingClientEffect[] = []
    switch (event.type) {
      case 'connected':
        if (event.link === 'leader') this.#leaderLinked = true
        else this.#tailLinked = true
        this.#tellStatus(out)
        break
      case 'lost':
        this.#lost(event.link, event.reason, nowMs, out)
        break
      case 'message':
        this.#message(event.link, event.message, nowMs, out)
        break
      case 'open':
        this.#open(event.request, nowMs, out)
        break
      case 'cancel':
        this.#cancel(event.id, out)
        break
      case 'import':
        this.#import(event.request, out)
        break
      case 'import-commit':
        this.#commitImport(event.id, event.position, event.keep, out)
        break
      case 'import-cancel':
        this.#cancelImport(event.id, out)
        break
      case 'spare':
        this.#spare(event.id, out)
        break
      case 'tick':
        this.#tick(nowMs, out)
    }
    this.#resume(nowMs, out)
    return out
  }

  #open(request: ClientRequest, nowMs: number, out: RingClientEffect[]): void {
    const reject = (code: 'not_ready' | 'invalid', message: string, retryAfterMs: number): void => {
      out.push({ type: 'rejected', id: request.id, code, message, retryAfterMs })
    }
    if (this.#sessions.has(request.id)) {
      reject('invalid', `Request ${request.id} is already open.`, 0)
      return
    }
    if (!this.#leaderLinked || !this.#tailLinked) {
      reject('not_ready', 'The ring cannot be reached at the moment. Try again shortly.', NOT_READY_RETRY_MS)
      return
    }
    const deadlineMs = request.deadlineMs === 0 ? Number.POSITIVE_INFINITY : nowMs + request.deadlineMs
    const session: ClientSession = {
      request,
      deadlineMs,
      delivered: [...(request.delivered ?? [])],
      cachedTokens: null,
      attempt: 0,
      fruitless: 0,
      wire: null,
      interruptedMs: nowMs,
      retryMs: nowMs,
      spare: false,
    }
    this.#sessions.set(request.id, session)
    this.#send(session, nowMs, out)
  }

  #send(session: ClientSession, nowMs: number, out: RingClientEffect[]): void {
    const { request, delivered } = session
    session.attempt += 1
    session.wire = sessionId(session.attempt === 1 ? request.id : `${request.id}#${session.attempt}`)
    this.#byWire.set(session.wire, session)
    const message: OpenRequest = {
      type: 'open-request',
      session: session.wire,
      tokens: delivered.length === 0 ? request.tokens : concatenate(request.tokens, delivered),
      resumed: delivered.length,
      maxTokens: request.maxTokens,
      stopTokens: request.stopTokens,
      sampling: request.sampling,
      tenant: request.tenant,
      priority: request.priority,
      needs: request.needs,
      pooling: request.pooling,
      trace: request.trace ?? null,
      deadlineMs: Number.isFinite(session.deadlineMs) ? Math.max(1, session.deadlineMs - nowMs) : 0,
    }
    out.push({ type: 'send-leader', message })
  }

  #import({ id, ...rest }: ClientImport, out: RingClientEffect[]): void {
    if (!this.ready) {
      out.push({ type: 'import-failed', id, message: 'The ring cannot be reached at the moment.' })
      return
    }
    this.#imports.set(id, { kept: false })
    out.push({ type: 'send-leader', message: { type: 'import-request', session: sessionId(id), ...rest } })
  }

  /** @param position - how far it is filled */
  #commitImport(id: string, position: number, keep: boolean, out: RingClientEffect[]): void {
    if (this.#imports.get(id)?.kept !== false) return
    if (keep) this.#imports.set(id, { kept: true })
    else this.#imports.delete(id)
    const message = { type: 'import-commit', session: sessionId(id), position, keep } as const
    out.push({ type: 'send-leader', message })
  }

  #cancelImport(id: string, out: RingClientEffect[]): void {
    if (!this.#imports.delete(id)) return
    out.push({ type: 'send-leader', message: { type: 'cancel-request', session: sessionId(id) } })
  }

  /** Returns whether it was about an import. */
  #importFailed({ session, message }: Rejected | Failed, out: RingClientEffect[]): boolean {
    const found = this.#imports.get(session)
    if (found === undefined) return false
    this.#imports.delete(session)
    if (!found.kept) out.push({ type: 'import-failed', id: session, message })
    return true
  }

  #spare(id: string, out: RingClientEffect[]): void {
    const session = this.#sessions.get(id)
    if (session === undefined || session.wire === null) return
    session.spare = true
    out.push({ type: 'send-leader', message: { type: 'spare-request', session: session.wire } })
  }

  #cancel(id: string, out: RingClientEffect[]): void {
    const session = this.#sessions.get(id)
    if (session === undefined) return
    this.#withdraw(session, out)
    this.#fail(session, 'cancelled', 'Cancelled as asked.', out)
  }

  /** Ends the attempt under way, at the leader too if it can be told. */
  #withdraw(session: ClientSession, out: RingClientEffect[]): void {
    if (session.wire === null) return
    if (this.#leaderLinked) {
      out.push({ type: 'send-leader', message: { type: 'cancel-request', session: session.wire } })
    }
    this.#leave(session)
  }

  #fail(session: ClientSession, code: ClientFailCode, message: string, out: RingClientEffect[]): void {
    this.#forget(session)
    out.push({ type: 'failed', id: session.request.id, code, message })
  }

  #forget(session: ClientSession): void {
    this.#leave(session)
    this.#sessions.delete(session.request.id)
  }

  /** @param tell - whether the leader still works for this attempt */
  #interrupt(
    session: ClientSession,
    reason: string,
    tell: boolean,
    nowMs: number,
    out: RingClientEffect[],
  ): void {
    if (session.wire === null) return
    if (tell) this.#withdraw(session, out)
    else this.#leave(session)
    if (session.spare) {
      this.#fail(session, 'cancelled', reason, out)
      return
    }
    session.fruitless += 1
    if (session.fruitless >= MAX_FRUITLESS) {
      this.#fail(session, 'unavailable', `Interrupted ${MAX_FRUITLESS} times without a token. ${reason}`, out)
      return
    }
    session.interruptedMs = nowMs
    session.retryMs = nowMs
    out.push({ type: 'interrupted', id: session.request.id, message: reason })
  }

  /** From here on the attempt under way is a stranger. */
  #leave(session: ClientSession): void {
    if (session.wire !== null) this.#byWire.delete(session.wire)
    session.wire = null
  }

  #lost(link: 'leader' | 'tail', reason: string, nowMs: number, out: RingClientEffect[]): void {
    if (link === 'leader') {
      this.#leaderLinked = false
      this.#status = null
      for (const [id, { kept }] of this.#imports) {
        if (kept) continue
        out.push({ type: 'import-failed', id, message: `The link to the ring broke (${reason}).` })
      }
      this.#imports.clear()
    } else this.#tailLinked = false
    this.#tellStatus(out)
    // Without the leader nobody works for us, without the tail in vain.
    for (const session of [...this.#sessions.values()]) {
      this.#interrupt(session, `The link to the ring broke (${reason}).`, true, nowMs, out)
    }
  }

  #message(link: 'leader' | 'tail', message: Message, nowMs: number, out: RingClientEffect[]): void {
    switch (message.type) {
      case 'token':
        this.#token(message, nowMs, out)
        break
      case 'embedding':
        this.#embedding(message, out)
        break
      case 'rejected':
        if (!this.#importFailed(message, out)) this.#rejected(message, nowMs, out)
        break
      case 'failed':
        if (!this.#importFailed(message, out)) this.#failed(message, nowMs, out)
        break
      case 'import-ready': {
        const { session: id, cachedTokens, end } = message
        if (this.#imports.has(id)) out.push({ type: 'import-ready', id, cachedTokens, end })
        break
      }
      case 'status':
        this.#status = message
        this.#tellStatus(out)
        break
      default:
        out.push({ type: 'close-link', link, reason: `a ring sends no ${message.type} to a gateway` })
    }
  }

  #token(message: TokenDelivery, nowMs: number, out: RingClientEffect[]): void {
    const session = this.#byWire.get(message.session)
    if (session === undefined || message.index < session.delivered.length) return
    if (message.index > session.delivered.length) {
      const missing = `Token ${session.delivered.length} was lost on its way.`
      this.#interrupt(session, missing, true, nowMs, out)
      return
    }
    session.delivered.push(message.sampled.token)
    session.fruitless = 0
    if (message.finish !== null) this.#forget(session)
    const { index, sampled, finish, times } = message
    session.cachedTokens ??= message.cachedTokens
    const { cachedTokens } = session
    out.push({ type: 'token', id: session.request.id, index, sampled, finish, times, cachedTokens })
  }

  #embedding(message: EmbeddingDelivery, out: RingClientEffect[]): void {
    const session = this.#byWire.get(message.session)
    if (session === undefined) return
    this.#forget(session)
    const { buffer, byteOffset, byteLength } = message.vector
    const vector = new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength))
    out.push({ type: 'embedding', id: session.request.id, vector })
  }

  #rejected(message: Rejected, nowMs: number, out: RingClientEffect[]): void {
    const session = this.#byWire.get(message.session)
    if (session === undefined) return
    const { code, retryAfterMs } = message
    if (session.attempt > 1 && (code === 'queue_full' || code === 'not_ready')) {
      this.#leave(session)
      session.retryMs = nowMs + Math.max(1, retryAfterMs)
    } else if (session.delivered.length === (session.request.delivered?.length ?? 0)) {
      this.#forget(session)
      out.push({ type: 'rejected', id: session.request.id, code, message: message.message, retryAfterMs })
    } else {
      this.#fail(session, 'unavailable', `The interrupted answer could not continue: ${message.message}`, out)
    }
  }

  #failed(message: Failed, nowMs: number, out: RingClientEffect[]): void {
    const session = this.#byWire.get(message.session)
    if (session === undefined) return
    if (message.code === 'deadline') this.#fail(session, 'deadline', message.message, out)
    else this.#interrupt(session, message.message, false, nowMs, out)
  }

  #tick(nowMs: number, out: RingClientEffect[]): void {
    for (const session of [...this.#sessions.values()]) {
      const waiting = session.wire === null
      if (nowMs >= session.deadlineMs + (waiting ? 0 : DEADLINE_GRACE_MS)) {
        this.#withdraw(session, out)
        this.#fail(session, 'deadline', `The deadline of ${session.request.deadlineMs} ms passed.`, out)
      } else if (waiting && nowMs - session.interruptedMs > this.options.resumePatienceMs) {
        const waited = `The ring did not come back within ${this.options.resumePatienceMs} ms. Try again later.`
        this.#fail(session, 'unavailable', waited, out)
      }
    }
  }

  /** Continues what was interrupted once the ring takes requests again. */
  #resume(nowMs: number, out: RingClientEffect[]): void {
    if (!this.ready || this.#byWire.size === this.#sessions.size) return
    for (const session of [...this.#sessions.values()]) {
      if (session.wire === null && nowMs >= session.retryMs) this.#send(session, nowMs, out)
    }
  }

  #tellStatus(out: RingClientEffect[]): void {
    out.push({ type: 'status', ready: this.ready, status: this.#status })
  }
}

function concatenate(prompt: Int32Array, delivered: readonly number[]): Int32Array {
  const tokens = new Int32Array(prompt.length + delivered.length)
  tokens.set(prompt)
  tokens.set(delivered, prompt.length)
  return tokens
}
