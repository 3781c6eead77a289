import { balanceLayers, type KvSlice } from '@deos/domain'
import { type Backend, Stage, type StageOutput } from '@deos/engine'
import { type ModelSource, resolveStageWeights } from '@deos/engine/weights'

interface ChunkPlan {
  /** Stages that the layers are cut into, all in this process. */
  readonly groups: number
  /** Positions of a chunk. */
  readonly chunk: number
  readonly cacheDir: string
  /** Chunks that fit; all but the last are computed at once. */
  readonly chunks: number
}

const PAGE_TOKENS = 16

/** The last chunk of a prompt, again and again. */
export class ChunkPipeline {
  private readonly tokens: Int32Array
  private readonly slices: readonly { readonly stage: Stage; readonly slice: KvSlice }[]
  private copied: Uint8Array[] = []

  private constructor(
    private readonly stages: readonly Stage[],
    private readonly plan: ChunkPlan,
  ) {
    this.tokens = Int32Array.from({ length: plan.chunk }, (_, index) => (index * 37) % 1000)
    const pages = Array.from({ length: plan.chunk / PAGE_TOKENS }, (_, page) => this.firstPage + page)
    this.slices = stages.flatMap((stage) =>
      Array.from(
        { length: stage.layers.end - stage.layers.first },
        (_, index) => stage.layers.first + index,
      ).flatMap((layer) =>
        (['key', 'value'] as const).map((part) => ({
          stage,
          slice: { layer, part, pages, positions: { first: 0, end: plan.chunk }, encoding: 'f16' as const },
        })),
      ),
    )
  }

  static async load(backend: Backend, source: ModelSource, plan: ChunkPlan): Promise<ChunkPipeline> {
    const { config } = source
    const costs = { layers: new Array<number>(config.layers).fill(1), head: 0 }
    const stages: Stage[] = []
    for (const layers of balanceLayers(costs, new Array<number>(plan.groups).fill(1))) {
      const place = { layers, embedding: layers.first === 0, head: layers.end === config.layers }
      const weights = await resolveStageWeights({ source, ...place, type: 'native', cacheDir: plan.cacheDir })
      const kv = {
        type: 'F16',
        pageCount: (plan.chunk * plan.chunks) / PAGE_TOKENS,
        pageTokens: PAGE_TOKENS,
      } as const
      stages.push(await Stage.load(backend, { config, ...place, weights, kv, maxBatchTokens: plan.chunk }))
    }
    const pipeline = new ChunkPipeline(stages, plan)
    await pipeline.begin()
    return pipeline
  }

  /** @returns milliseconds of computing the last chunk */
  async timeChunk(): Promise<number> {
    for (const { kv } of this.stages) kv.pages.truncate(0, this.firstPage * PAGE_TOKENS)
    const started = performance.now()
    await this.forward()
    return performance.now() - started
  }

  /** @returns milliseconds of copying its K and V of all layers */
  timeRead(): number {
    const started = performance.now()
    this.copied = this.slices.map(({ stage, slice }) => stage.readKv(slice))
    return performance.now() - started
  }

  /** @returns milliseconds of storing what was copied */
  timeWrite(): number {
    if (this.copied.length === 0) this.timeRead()
    const started = performance.now()
    for (const [index, { stage, slice }] of this.slices.entries()) {
      stage.writeKv({ ...slice, data: this.copied[index]!, refines: true })
    }
    return performance.now() - started
  }

  close(): void {
    for (const stage of this.stages) stage.close()
  }

  /** Of the last chunk. */
  private get firstPage(): number {
    return ((this.plan.chunks - 1) * this.plan.chunk) / PAGE_TOKENS
  }

  private async begin(): Promise<void> {
    for (const { kv } of this.stages) kv.pages.open(0, [...Array(kv.options.pageCount).keys()])
    for (let chunk = 0; chunk < this.plan.chunks; chunk += 1) await this.forward()
  }

  private async forward(): Promise<void> {
    const entries = [{ sequence: 0, count: this.plan.chunk, outputs: 'none' as const }]
    let output: StageOutput | null = null
    for (const stage of this.stages) {
      output = await stage.forward(
        output ? { entries, hidden: output.hidden } : { entries, tokens: this.tokens },
      )
    }
  }
}
