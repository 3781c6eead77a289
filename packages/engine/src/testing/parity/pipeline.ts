import { join } from 'node:path'
import type { LayerRange } from '@deos/domain'
import type { Backend } from '../../ggml/backend.ts'
import { type BatchEntry, type KvType, Stage } from '../../stage/index.ts'
import { type ModelSource, resolveStageWeights } from '../../weights/index.ts'

/** Positions for which both engines are opened. */
export const parityContext = 256
/** Eight sequences of up to 192 tokens. */
const maxSequences = 8
const sequencePages = 12

async function loadStage(
  backend: Backend,
  source: ModelSource,
  layers: LayerRange,
  kvType: KvType,
): Promise<Stage> {
  const part = { layers, embedding: layers.first === 0, head: layers.end === source.config.layers }
  const weights = await resolveStageWeights({
    source,
    ...part,
    type: 'native',
    cacheDir: join(source.path, '..', 'cache'),
  })
  const kv = { type: kvType, pageCount: maxSequences * sequencePages, pageTokens: 16 }
  return Stage.load(backend, {
    config: source.config,
    ...part,
    weights,
    kv,
    maxBatchTokens: 192,
    contextLength: parityContext,
  })
}

/** Consecutive stages that together hold a model, as a ring runs them. */
export class Pipeline {
  private constructor(readonly stages: readonly Stage[]) {}

  /** @param cuts - layers at which a new stage begins */
  static async load(
    backend: Backend,
    source: ModelSource,
    cuts: readonly number[] = [],
    kvType: KvType = 'F16',
  ): Promise<Pipeline> {
    const bounds = [0, ...cuts, source.config.layers]
    const stages: Stage[] = []
    for (const [index, end] of bounds.slice(1).entries()) {
      stages.push(await loadStage(backend, source, { first: bounds[index]!, end }, kvType))
    }
    return new Pipeline(stages)
  }

  allocate(sequence: number): void {
    const pages = Array.from({ length: sequencePages }, (_, page) => sequence * sequencePages + page)
    for (const stage of this.stages) stage.kv.pages.open(sequence, pages)
  }

  /** @returns logits `[outputs, vocabSize]` */
  async forward(entries: readonly BatchEntry[], tokens: Int32Array): Promise<Float32Array> {
    const [first, ...rest] = this.stages
    let output = await first!.forward({ entries, tokens })
    for (const stage of rest) output = await stage.forward({ entries, hidden: output.hidden })
    return output.logits.slice()
  }

  close(): void {
    for (const stage of this.stages) stage.close()
  }
}
