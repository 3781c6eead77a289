import type { LayerRange, ModelConfig } from '@deos/domain'
import type { Backend } from '../ggml/backend.ts'
import { MemoryRanks, rankCount, type StageSplit } from '../ranks/index.ts'
import { type KvType, PooledSequences, Stage, type StageBatch, type StageOutput } from '../stage/index.ts'
import type { TensorInfo } from '../weights/index.ts'

export interface RankGroupOptions {
  readonly config: ModelConfig
  readonly weights: readonly TensorInfo[]
  readonly layers: LayerRange
  readonly split: StageSplit
  readonly kvType: KvType
  readonly pageCount: number
  readonly maxBatchTokens: number
}

/** The ranks of one stage in one process. They take turns on one backend, which must compute on the calling thread. */
export class RankGroup {
  private constructor(
    readonly stages: readonly Stage[],
    private readonly ranks: MemoryRanks,
    private readonly sequences: PooledSequences,
  ) {}

  static async load(backend: Backend, options: RankGroupOptions): Promise<RankGroup> {
    const { config, layers, split, kvType, pageCount, weights, maxBatchTokens } = options
    const ranks = new MemoryRanks()
    const stages: Stage[] = []
    for (let rank = 0; rank < rankCount(split); rank += 1) {
      stages.push(
        await Stage.load(backend, {
          ...{ config, layers, weights, maxBatchTokens },
          embedding: layers.first === 0,
          head: layers.end === config.layers,
          kv: { type: kvType, pageCount, pageTokens: 16 },
          rank: { split, collective: ranks.rank(rank) },
        }),
      )
    }
    const tables = stages.map(({ kv }) => kv.pages)
    return new RankGroup(stages, ranks, new PooledSequences(tables))
  }

  open(sequence: number): void {
    this.sequences.open(sequence)
  }

  /** One batch on all ranks, with pages for it. @returns what rank 0 gives, as a copy */
  async forward(batch: StageBatch): Promise<StageOutput> {
    for (const { sequence, count } of batch.entries) this.sequences.extend(sequence, count)
    const [first, ...others] = await Promise.allSettled(
      this.stages.map((stage) =>
        stage.forward(batch).catch((error: unknown) => {
          this.ranks.fail(error instanceof Error ? error : new Error(String(error)))
          throw error
        }),
      ),
    )
    for (const other of others) if (other.status === 'rejected') throw other.reason
    if (first?.status !== 'fulfilled') throw first?.reason
    const { hidden, logits } = first.value
    return { hidden: hidden.slice(), logits: logits.slice() }
  }

  close(): void {
    for (const stage of this.stages) stage.close()
  }
}
