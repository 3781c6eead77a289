import type { LayerRange, ModelId, SessionId, WorkerId } from '@deos/domain'
import type {
  Message,
  RingCapacity,
  RingMessage,
  SessionKey,
  SessionNeeds,
  StageKv,
  ToGateway,
} from '../messages.ts'
import type { EngineSession, EngineStep, EngineStepResult } from '../stage-engine.ts'

/** Where a worker stands in its ring. */
export interface StageIdentity {
  readonly worker: WorkerId
  readonly model: ModelId
  /** Position in the ring, from 0. */
  readonly stage: number
  readonly stages: number
  readonly layers: LayerRange
  readonly hiddenSize: number
  /** Id of the calibration by which it codes KV for other rings. Default none. */
  readonly calibration?: string | null
}

/** What happens to a worker of a ring. `upstream` is the link from the previous stage (the last one, for stage 0). */
export type RingEvent =
  | { readonly type: 'upstream-message'; readonly message: Message }
  | { readonly type: 'upstream-lost'; readonly reason: string }
  | { readonly type: 'downstream-connected' }
  | { readonly type: 'downstream-lost'; readonly reason: string }
  | { readonly type: 'gateway-connected'; readonly gateway: string }
  | { readonly type: 'gateway-message'; readonly gateway: string; readonly message: Message }
  | { readonly type: 'gateway-lost'; readonly gateway: string }
  /** The engine is loaded and holds no session. */
  | { readonly type: 'engine-ready'; readonly capacity: RingCapacity; readonly kv?: StageKv }
  | { readonly type: 'engine-lost'; readonly reason: string }
  /** An `engine-reset` effect is through. */
  | { readonly type: 'engine-reset-done' }
  | {
      readonly type: 'engine-stepped'
      readonly epoch: number
      readonly step: number
      readonly result: EngineStepResult
      /** From being asked for until now, computing left out. */
      readonly waitUs: number
      /** Half a round trip on the link to the next stage; 0 while unknown. */
      readonly linkUs: number
    }
  | { readonly type: 'engine-failed'; readonly epoch: number; readonly step: number; readonly reason: string }
  /** An `engine-prepare` effect is through; `problem` says why the needs cannot be met. */
  | {
      readonly type: 'engine-prepared'
      readonly epoch: number
      readonly request: number
      readonly problem: string | null
    }
  /** Take no more requests, finish those accepted; answered by the effect `drained`. */
  | { readonly type: 'drain' }
  /** Time passes: probes, timeouts and deadlines are as punctual as ticks are frequent. */
  | { readonly type: 'tick' }

/** Calls on the stage's engine, to be made at once and in order. */
export type EngineEffect =
  | { readonly type: 'engine-open'; readonly session: EngineSession; readonly id: SessionId }
  | { readonly type: 'engine-close'; readonly key: SessionKey }
  /** Answer with `engine-stepped` or `engine-failed`, carrying the same epoch and step. */
  | { readonly type: 'engine-step'; readonly epoch: number; readonly step: number; readonly work: EngineStep }
  /** Answer with `engine-prepared`, carrying the same epoch and request, whenever it is through. */
  | {
      readonly type: 'engine-prepare'
      readonly epoch: number
      readonly request: number
      readonly needs: SessionNeeds
      readonly maxTokens: number
    }
  /** Answer with `engine-reset-done`, or with `engine-lost` if it fails. */
  | { readonly type: 'engine-reset' }

/** For whoever receives KV from another ring and writes it into the engine's pages. */
export type ImportEffect =
  /** Positions `[first, end)` of this session may be written to these pages, behind all calls on the engine so far. */
  | {
      readonly type: 'import-opened'
      readonly key: SessionKey
      readonly session: SessionId
      /** Who coordinates the transfer. */
      readonly gateway: string
      readonly first: number
      readonly end: number
      readonly pages: readonly number[]
    }
  /** From now on nothing may be written for it. */
  | { readonly type: 'import-closed'; readonly key: SessionKey; readonly session: SessionId }

/** What a worker has to do, in order. Sending to a peer that is not linked is dropping. */
export type RingEffect =
  | EngineEffect
  | ImportEffect
  | { readonly type: 'send-downstream'; readonly message: RingMessage }
  | { readonly type: 'send-gateway'; readonly gateway: string; readonly message: ToGateway }
  /** The peer broke the protocol; close its link. */
  | { readonly type: 'close-gateway'; readonly gateway: string; readonly reason: string }
  /** Everything accepted before `drain` has been answered. */
  | { readonly type: 'drained' }
  | { readonly type: 'note'; readonly level: 'info' | 'warn'; readonly text: string }
