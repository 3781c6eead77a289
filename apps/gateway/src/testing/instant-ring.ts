import { modelId, workerId } from '@deos/domain'
import type { RingStatus } from '@deos/protocol'
import type { GenerationHandlers } from '@deos/transport'
import type { OpenRing, RingSession, RingSessionHandlers } from '../routing/replica.ts'
import { bytesOf, END } from './byte-model.ts'
import { noUsage } from './scripted-ring.ts'

type Request = Parameters<RingSession['generate']>[0]

const status: RingStatus = {
  type: 'status',
  ready: true,
  epoch: 1,
  active: 0,
  queued: 0,
  usage: noUsage,
  reports: [
    {
      worker: workerId('w0'),
      stage: 0,
      layers: [0, 4],
      model: modelId('bytes'),
      kvPagesFree: 90,
      calibration: null,
      kv: null,
      capacity: { kvPages: 100, pageTokens: 16, contextLength: 512, maxBatchTokens: 512 },
    },
  ],
}

/** A ring without stages: whatever is asked is answered by the test, on the spot if it likes. */
export class InstantRing implements RingSession {
  readonly handover = null
  readonly opened: Request[] = []
  readonly cancelled: string[] = []
  readonly handlers = new Map<string, GenerationHandlers>()
  started = false
  stopped = false
  #ready: boolean

  constructor(
    readonly name: string,
    readonly onRequest: (request: Request, handlers: GenerationHandlers, ring: InstantRing) => void,
    private readonly told: RingSessionHandlers,
    ready = true,
  ) {
    this.#ready = ready
  }

  get ready(): boolean {
    return this.started && !this.stopped && this.#ready
  }

  get status(): RingStatus | null {
    return this.ready ? status : null
  }

  setReady(ready: boolean): void {
    this.#ready = ready
    this.told.onStatus(this.ready, this.status)
  }

  start(): void {
    this.started = true
    this.told.onStatus(this.ready, this.status)
  }

  async stop(): Promise<void> {
    this.stopped = true
  }

  generate(request: Request, handlers: GenerationHandlers): void {
    this.opened.push(request)
    this.handlers.set(request.id, handlers)
    this.onRequest(request, handlers, this)
  }

  cancel(id: string): void {
    this.cancelled.push(id)
  }
}

/** Tokens of a text and the end, behind those that were delivered elsewhere; at most as many as were asked for. */
export function sayTo(
  { delivered = [], maxTokens, pooling }: Request,
  handlers: GenerationHandlers,
  text: string,
  { cachedTokens = 0, first = delivered.length, end = Number.POSITIVE_INFINITY } = {},
): void {
  if (pooling !== null) {
    handlers.onEmbedding?.(Float32Array.of(3, 4))
    return
  }
  const tokens = [...bytesOf(text), END].slice(0, maxTokens)
  for (const [index, token] of tokens.entries()) {
    if (index < first || index >= end) continue
    const finish = token === END ? 'stop' : index + 1 === tokens.length ? 'length' : null
    const times = [{ waitUs: 0, computeUs: 500, linkUs: 0 }]
    handlers.onToken({ index, sampled: { token, logprobs: null }, finish, times, cachedTokens })
  }
}

/** Rings by name, made when the gateway connects to them. */
export class InstantRings {
  readonly rings = new Map<string, InstantRing>()
  /** What a ring does with a request, unless a test says otherwise: says the same to everybody. */
  onRequest: InstantRing['onRequest'] = (request, handlers) => sayTo(request, handlers, 'hello')
  /** Rings that are not ready when they are connected to. */
  readonly unready = new Set<string>()

  readonly open: OpenRing = ({ ring }, told) => {
    const session = new InstantRing(
      ring,
      (request, handlers, self) => this.onRequest(request, handlers, self),
      told,
      !this.unready.has(ring),
    )
    this.rings.set(ring, session)
    return session
  }

  get(name: string): InstantRing {
    return this.rings.get(name)!
  }
}
