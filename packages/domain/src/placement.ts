import type { FleetSnapshot, MachineLocation } from './fleet.ts'
import type { MachineId } from './ids.ts'
import type { LayerRange } from './layers.ts'
import type { ModelConfig } from './model.ts'
import type { Bytes, Milliseconds, Tokens, TokensPerSecond } from './units.ts'

/** What holding and passing on a model takes, in the precision it is to be held in. */
export interface ModelFootprint {
  /** Of the weights, as benchmarks name it. */
  readonly weightType: string
  /** Weights of each layer. */
  readonly layerBytes: readonly Bytes[]
  /** The first stage holds these besides. */
  readonly embeddingBytes: Bytes
  /** The last stage holds these besides. */
  readonly headBytes: Bytes
  /** KV of one token in one layer. */
  readonly kvBytesPerLayer: Bytes
  /** What goes from stage to stage for each token. */
  readonly boundaryBytes: Bytes
  /** What its layers are made of; missing where it was not kept when the model was registered. */
  readonly config?: ModelConfig
}

/** Layers that a machine holds, held before, or is meant to hold. */
export interface HeldLayers {
  readonly machine: MachineId
  readonly device: string
  readonly layers: LayerRange
}

/** All of a replica's, in the order of its ring. */
export type HeldRing = readonly HeldLayers[]

export interface PlacementRequest {
  readonly model: ModelFootprint
  /** Tokens of all sessions together that the KV cache is to hold. */
  readonly kvTokens: Tokens
  /** `null` allows every one. */
  readonly regions: readonly string[] | null
  readonly providers: readonly string[] | null
  /** Machines that another replica should not share, as far as there are others. */
  readonly avoid: readonly MachineId[]
  /**
   * What it is to be good at: `decode` reads the weights for each token, `prefill` multiplies with them for many tokens
   * of a prompt at once. By default `decode`.
   */
  readonly work?: 'decode' | 'prefill'
  /**
   * Where the replicas are, or are meant to be, that do the other work for it: KV of prompts goes from those that
   * compute them to those that decode. Without any, who decodes computes prompts too.
   */
  readonly partners?: readonly HeldRing[]
  /** Where the replica was before; machines that are gone included. */
  readonly held?: HeldRing
}

/** A stage that has a place but no id yet. */
export interface StagePlacement {
  readonly machine: MachineId
  readonly device: string
  readonly location: MachineLocation
  readonly layers: LayerRange
  readonly weightBytes: Bytes
  readonly kvBytes: Bytes
  /** Predicted for one sequence. */
  readonly decodeMs: Milliseconds
}

/** What a placement is predicted to do to requests as they usually are; the reasons say which. */
export interface PlacementForecast {
  /** Where only prompts are computed: until the KV of one is where it will be decoded. */
  readonly ttftMs: Milliseconds
  /** `null` where only prompts are computed. */
  readonly tpotMs: Milliseconds | null
  /** Of answers, all sessions together; where only prompts are computed, of prompts. */
  readonly tokensPerSecond: TokensPerSecond
  /** In `ttftMs`: how long a prompt that is computed already waits for its KV to travel; missing where none does. */
  readonly handOverMs?: Milliseconds
}

export interface Placement {
  /** In the order of the ring. */
  readonly stages: readonly StagePlacement[]
  /** Predicted time of one token of one sequence around the ring, links included. */
  readonly tokenMs: Milliseconds
  /** Of a placer that forecasts requests, where its devices were measured for it. */
  readonly forecast?: PlacementForecast
  /**
   * Beside a forecast, to compare placements of one replica: what such a request takes in all, longer where weights have
   * to move first.
   */
  readonly requestMs?: Milliseconds
  /** Why this and not another: sentences for people. */
  readonly reasons: readonly string[]
}

/** `placement` is null if nothing fits; then `reasons` say what is missing, with numbers. */
export interface PlacementOutcome {
  readonly placement: Placement | null
  readonly reasons: readonly string[]
}

/** Chooses machines for one replica of a model. Pure: the same request and fleet give the same outcome. */
export interface Placer {
  place(request: PlacementRequest, fleet: FleetSnapshot): PlacementOutcome
}
