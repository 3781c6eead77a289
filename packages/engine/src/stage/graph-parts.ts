import type { LayerRange, ModelConfig } from '@deos/domain'
import type { Architecture } from '../architectures/index.ts'
import type { Backend } from '../ggml/backend.ts'
import type { RopeSettings, Tensor } from '../ggml/graph-builder.ts'
import type { GraphMemory } from '../ggml/graph-memory.ts'
import type { AdapterStacks } from '../lora/adapter-stacks.ts'
import type { LayerReaches } from './attention-plan.ts'
import type { KvCache } from './kv-cache.ts'
import type { RankParts } from './rank-parts.ts'
import type { WeightStore } from './weight-store.ts'

/** What a stage with the head makes of the wanted rows: logits, or what goes into the head's matrix. */
export type HeadResult = 'logits' | 'normed'

/** What distinguishes graphs of equal plans. */
export interface GraphVariant {
  readonly result: HeadResult
  /** Whether tokens run with adapters. */
  readonly adapted: boolean
  /** Whether it halts where K and V of a layer are stored. */
  readonly halts: boolean
}

/** What all graphs of a stage share. */
export interface StageParts {
  readonly backend: Backend
  readonly architecture: Architecture
  readonly config: ModelConfig
  readonly layers: LayerRange
  readonly embedding: boolean
  readonly head: boolean
  readonly weights: WeightStore
  readonly kv: KvCache
  readonly adapters: AdapterStacks
  readonly reaches: LayerReaches
  readonly memory: GraphMemory
  /** Null where one rank computes the stage. */
  readonly rank: RankParts | null
  rope(layer: number): RopeSettings
  /** Waited for where a graph halts: K and V of this layer are stored. */
  stored(layer: number): Promise<void>
}

/** The tensors to write before a run and to read after it. */
export interface GraphTensors {
  /** Token ids (I32) or hidden states (F32, `[hiddenSize, tokens]`). */
  readonly input: Tensor
  readonly positions: Tensor
  /** KV cells of the tokens, I64. */
  readonly cells: Tensor
  /** Cells that are copied side by side before attention reads them, I32; null where it reads the cache itself. */
  readonly gathered: Tensor | null
  /** Null where nothing attends: the last layer of a prompt chunk without a wanted row, alone in its stage. */
  readonly mask: Tensor | null
  /** Rows that need logits, I32; null where the graph keeps every row or none. */
  readonly outputRows: Tensor | null
  /** Slot of each token's adapter, I32 `[1, tokens]`; null where nothing is adapted. */
  readonly adapterSlots: Tensor | null
  /** The same for the rows that need logits, where others are dropped. */
  readonly keptAdapterSlots: Tensor | null
  /**
   * Hidden states `[hiddenSize, tokens]`, logits `[vocabSize, outputs]`, normed hidden states `[hiddenSize, outputs]`, or
   * null when nothing is wanted.
   */
  readonly output: Tensor | null
}
