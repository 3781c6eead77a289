import { defaultSampling, modelId, type SessionId, sessionId, workerId } from '@deos/domain'
import type { KvMessage, KvPlan, RingStatus } from '@deos/protocol'
import type { GenerationHandlers, ImportHandlers } from '@deos/transport'
import type { GenerateRequest } from '../inference/backend.ts'
import type { SplitRing } from '../split/handover.ts'
import type { StageListener } from '../split/stage-links.ts'
import { noUsage } from './scripted-ring.ts'

const capacity = { kvPages: 64, pageTokens: 4, contextLength: 256, maxBatchTokens: 64 }

export const splitRequest: GenerateRequest = {
  ...{ id: 'r', tokens: Int32Array.from({ length: 9 }, (_, at) => at), maxTokens: 4, stopTokens: [] },
  ...{ sampling: { ...defaultSampling, seed: '1' }, deadlineMs: 0, tenant: 'someone', priority: 0 },
  needs: { adapter: null, grammar: null },
}

/** A ring whose stages do what a test tells them, and remember what they were told. */
export class ScriptedSplitRing implements SplitRing {
  readonly told: { readonly peer: string; readonly message: KvMessage }[] = []
  /** Prompts and imports, as they were asked for; what became of them. */
  readonly asked: string[] = []
  readonly ended: (number | null)[] = []
  #imports: ImportHandlers | null = null
  #prompt: GenerationHandlers | null = null
  readonly #listeners = new Set<StageListener>()
  ready = true

  /** @param onTold - answers what a stage is told */
  constructor(
    readonly ring: string,
    private readonly stages: readonly (readonly [peer: string, first: number, end: number])[],
    public onTold: (peer: string, message: KvMessage) => KvMessage | null = () => null,
  ) {
    this.links = {
      peers: stages.map(([peer]) => peer),
      listen: (listener) => {
        this.#listeners.add(listener)
        return () => this.#listeners.delete(listener)
      },
      send: (peer, message) => {
        this.told.push({ peer, message })
        const answer = this.onTold(peer, message)
        if (answer !== null) queueMicrotask(() => this.say(peer, answer))
      },
      addressOf: (peer) => `${peer}:1`,
      door: (peer) => ({ address: `${peer}:1`, key: new Uint8Array(32) }),
    }
  }

  get status(): RingStatus {
    return {
      ...{ type: 'status', ready: true, epoch: 1, active: 0, queued: 0, usage: noUsage },
      reports: this.stages.map(([peer, first, end], stage) => ({
        ...{ worker: workerId(peer), stage, layers: [first, end], model: modelId('m'), kvPagesFree: 64 },
        capacity,
        calibration: null,
        kv: null,
      })),
    }
  }

  readonly connection: SplitRing['connection'] = this.#connection()

  readonly links: SplitRing['links']

  get listeners(): number {
    return this.#listeners.size
  }

  say(peer: string, message: KvMessage): void {
    for (const listener of this.#listeners) listener.onMessage(peer, message)
  }

  /** The leader has pages for positions `[cached, end)`. */
  givePages(cached: number, end: number): void {
    this.#imports?.onReady(cached, end)
  }

  refusePages(reason: string): void {
    this.#imports?.onFailed(reason)
  }

  failPrompt(reason: string): void {
    this.#prompt?.onFailed('unavailable', reason)
  }

  plans(): readonly KvPlan[] {
    return this.told.flatMap(({ message }) => (message.type === 'kv-plan' ? [message] : []))
  }

  #connection(): SplitRing['connection'] {
    const ring = this
    return {
      get ready() {
        return ring.ready
      },
      get status() {
        return ring.status
      },
      generate: ({ id, tokens, maxTokens }, handlers) => {
        ring.asked.push(`prompt ${id} ${tokens.length} ${maxTokens}`)
        ring.#prompt = handlers
      },
      cancel: (id) => void ring.asked.push(`cancel ${id}`),
      spare: (id) => void ring.asked.push(`spare ${id}`),
      import: ({ id, tokens }, handlers) => {
        ring.asked.push(`import ${id} ${tokens.length}`)
        ring.#imports = handlers
      },
      endImport: (_, position, keep = false) => {
        ring.#imports = null
        ring.ended.push(position)
        if (keep) ring.asked.push('keep')
      },
    }
  }
}

/** What a stage says that holds all it was asked for, or `position` of it when nothing more comes. */
export function promise(message: KvMessage, position: number, bytes = 0): KvMessage | null {
  if (message.type !== 'kv-commit') return null
  const { epoch, session, partial } = message
  return { type: 'kv-committed', epoch, session, position, partial, coarsest: 0, bytes }
}

export const handoverSession: SessionId = sessionId(`${splitRequest.id}.kv`)
