import { defaultSampling } from '@deos/domain'
import type { Pooling, RejectCode, RingStatus } from '@deos/protocol'
import type { GenerationHandlers, RingConnection } from '@deos/transport'
import type {
  Backend,
  BackendRequest,
  BackendStatus,
  EmbedRequest,
  GenerateEvent,
  GenerateRequest,
} from './backend.ts'
import {
  DeadlineError,
  type InferenceError,
  InterruptedError,
  NotReadyError,
  PromptTooLongError,
  QueueFullError,
  RefusedRequestError,
} from './errors.ts'

export interface RingBackendOptions {
  /** Fingerprint of the model whose words this gateway speaks; `null` takes whatever the ring holds. */
  readonly model: string | null
  /** Faults one answer may survive; one more and it is given up, since it may be what breaks the ring. */
  readonly maxInterruptions: number
  /** Told whenever a fault pauses an answer. */
  readonly onInterrupted: (requestId: string, reason: string) => void
}

/** The part of a {@link RingConnection} that requests go through. */
export type RingLink = Pick<RingConnection, 'generate' | 'cancel' | 'ready' | 'status'>

function refusal(code: RejectCode, message: string, retryAfterMs: number): InferenceError {
  switch (code) {
    case 'queue_full':
      return new QueueFullError(message, Math.max(1000, retryAfterMs))
    case 'not_ready':
    case 'draining':
      return new NotReadyError(message, Math.max(1000, retryAfterMs))
    case 'prompt_too_long':
      return new PromptTooLongError(message)
    case 'invalid':
      return new RefusedRequestError(message)
  }
}

/** A ring of the right model may be started any time. */
const FOREIGN_RETRY_MS = 5_000

/** Longest sequence every stage holds; `null` before any stage reported. */
export function contextLengthOf(status: RingStatus | null): number | null {
  const limits = (status?.reports ?? []).map(({ capacity }) =>
    Math.min(capacity.contextLength, capacity.kvPages * capacity.pageTokens),
  )
  return limits.length === 0 ? null : Math.min(...limits)
}

/** What one request got so far, waiting to be read: tokens, or a vector. */
class Inbox implements GenerationHandlers {
  readonly #items: (GenerateEvent | Float32Array)[] = []
  #failure: unknown = null
  #ended = false
  #interruptions = 0
  #wake: () => void = () => undefined

  constructor(
    private readonly request: BackendRequest,
    private readonly options: RingBackendOptions,
  ) {}

  /** Nothing more comes from the ring. */
  get ended(): boolean {
    return this.#ended
  }

  onToken({ sampled, finish, cachedTokens, times }: Parameters<GenerationHandlers['onToken']>[0]): void {
    this.#items.push({ sampled, finish, cachedTokens, times })
    if (finish !== null) this.#ended = true
    this.#wake()
  }

  onEmbedding(vector: Float32Array): void {
    this.#items.push(vector)
    this.#ended = true
    this.#wake()
  }

  onRejected(code: RejectCode, message: string, retryAfterMs: number): void {
    this.#end(refusal(code, message, retryAfterMs))
  }

  onFailed(code: 'unavailable' | 'deadline' | 'cancelled', message: string): void {
    this.#end(
      code === 'deadline' ? new DeadlineError(this.request.deadlineMs) : new InterruptedError(message),
    )
  }

  onInterrupted(message: string): void {
    this.#interruptions += 1
    this.options.onInterrupted(this.request.id, message)
    if (this.#interruptions <= this.options.maxInterruptions) return
    this.abort(
      new InterruptedError(`the ring failed ${this.#interruptions} times during this answer. ${message}`),
    )
  }

  /** Ends the reading now, whatever the ring still does. */
  abort(reason: unknown): void {
    this.#failure ??= reason
    this.#wake()
  }

  async next(): Promise<GenerateEvent | Float32Array> {
    for (;;) {
      const item = this.#items.shift()
      if (item) return item
      if (this.#failure !== null) throw this.#failure
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  #end(error: InferenceError): void {
    this.#ended = true
    this.abort(error)
  }
}

/** A backend over a ring of workers. Faults of the ring are pauses: its connection resumes where the answer stopped. */
export class RingBackend implements Backend {
  readonly #ring: RingLink
  readonly #options: RingBackendOptions

  constructor(ring: RingLink, options: RingBackendOptions) {
    this.#ring = ring
    this.#options = options
  }

  status(): BackendStatus {
    const { ready, status } = this.#ring
    return {
      ready: ready && this.#foreignModel() === null,
      active: status?.active ?? 0,
      queued: status?.queued ?? 0,
      contextLength: contextLengthOf(status),
      usage: status?.usage ?? null,
      details: {
        linked: status !== null,
        epoch: status?.epoch ?? null,
        problem: this.#foreignModel(),
        stages: (status?.reports ?? []).map(({ worker, stage, layers, kvPagesFree, capacity }) => ({
          stage,
          worker,
          layers,
          kv_pages_free: kvPagesFree,
          kv_pages: capacity.kvPages,
        })),
      },
    }
  }

  async *generate(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent, void> {
    for await (const item of this.#open(request, null, signal)) {
      if (item instanceof Float32Array) throw new Error('The ring answered a generation with a vector.')
      yield item
      if (item.finish !== null) return
    }
  }

  async embed(request: EmbedRequest, signal: AbortSignal): Promise<Float32Array> {
    const { pooling, ...common } = request
    // Sampling means nothing to a vector; the protocol carries it all the same.
    const generation = { ...common, maxTokens: 1, stopTokens: [], sampling: defaultSampling }
    for await (const item of this.#open(generation, pooling, signal)) {
      if (item instanceof Float32Array) return item
      throw new Error('The ring answered a request for a vector with a token.')
    }
    throw new Error('The ring ended a request for a vector without one.')
  }

  /** What the ring sends for a request, until the reader leaves. */
  async *#open(
    request: GenerateRequest,
    pooling: Pooling | null,
    signal: AbortSignal,
  ): AsyncGenerator<GenerateEvent | Float32Array, void> {
    signal.throwIfAborted()
    const problem = this.#foreignModel()
    if (problem !== null) throw new NotReadyError(problem, FOREIGN_RETRY_MS)
    const inbox = new Inbox(request, this.#options)
    const abort = () => {
      inbox.abort(signal.reason)
      // Now, not when the reader comes around to it: until the ring knows, it holds pages.
      if (!inbox.ended) this.#ring.cancel(request.id)
    }
    signal.addEventListener('abort', abort)
    try {
      this.#ring.generate({ ...request, pooling }, inbox)
      for (;;) {
        const item = await inbox.next()
        signal.throwIfAborted()
        yield item
      }
    } finally {
      signal.removeEventListener('abort', abort)
      if (!inbox.ended) this.#ring.cancel(request.id)
    }
  }

  /** Tokens of one model are noise to another. */
  #foreignModel(): string | null {
    const held = this.#ring.status?.reports[0]?.model
    if (this.#options.model === null || held === undefined || held === this.#options.model) return null
    return `The ring holds model ${held.slice(0, 12)}, this gateway serves ${this.#options.model.slice(0, 12)}.`
  }
}
