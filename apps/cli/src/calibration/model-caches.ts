import {
  type CalibrationContext,
  halvesFromBytes,
  type KvPart,
  partName,
  type RotaryOf,
  rotaryOfLayouts,
} from '@deos/codec'
import { type KvPart as EnginePart, type KvSlice, kvColumns, type ModelConfig } from '@deos/domain'
import { Backend, Stage } from '@deos/engine'
import { loadTokenizer } from '@deos/engine/tokenizer'
import { type ModelSource, resolveStageWeights } from '@deos/engine/weights'

export interface ModelCachesOptions {
  readonly threads: number
  readonly cacheDir: string
  /** Of context and continuation together. */
  readonly maxTokens: number
}

const PAGE_TOKENS = 16
const engineParts = { k: 'key', v: 'value' } as const satisfies Record<KvPart['part'], EnginePart>

/** A whole model in this process, whose KV caches can be taken out, changed and put back. */
export class ModelCaches {
  private constructor(
    private readonly backend: Backend,
    private readonly stage: Stage,
    private readonly config: ModelConfig,
    private readonly pages: readonly number[],
    /** All parts that hold anything. */
    readonly parts: readonly KvPart[],
    readonly rotary: RotaryOf,
    readonly encode: (text: string) => Int32Array,
  ) {}

  /** @throws the model's errors */
  static async open(source: ModelSource, options: ModelCachesOptions): Promise<ModelCaches> {
    const { config } = source
    const { threads, cacheDir, maxTokens } = options
    const place = { layers: { first: 0, end: config.layers }, embedding: true, head: true }
    const weights = await resolveStageWeights({ source, ...place, type: 'native', cacheDir })
    const tokenizer = await loadTokenizer(source)
    const pageCount = Math.ceil(maxTokens / PAGE_TOKENS)
    const backend = Backend.open({ threads })
    const kv = { type: 'F16' as const, pageCount, pageTokens: PAGE_TOKENS }
    const stage = await Stage.load(backend, { config, ...place, weights, kv, maxBatchTokens: maxTokens })
    const layouts = Array.from({ length: config.layers }, (_, layer) => stage.kvLayout(layer))
    const parts = layouts.flatMap((layout, layer) =>
      (['k', 'v'] as const)
        .map((part) => ({ layer, part, channels: kvColumns(layout, engineParts[part]) }))
        .filter(({ channels }) => channels > 0),
    )
    const pages = Array.from({ length: pageCount }, (_, page) => page)
    return new ModelCaches(backend, stage, config, pages, parts, rotaryOfLayouts(layouts), (text) =>
      tokenizer.encode(text),
    )
  }

  get vocabSize(): number {
    return this.config.vocabSize
  }

  /** Computes a context and takes its cache out. */
  async compute(tokens: Int32Array): Promise<CalibrationContext> {
    const { stage } = this
    stage.kv.pages.open(0, this.pages)
    await stage.forward({ entries: [{ sequence: 0, count: tokens.length, outputs: 'last' }], tokens })
    const values = new Map(
      this.parts.map((part) => [
        partName(part),
        halvesFromBytes(stage.readKv(this.#slice(part, tokens.length))),
      ]),
    )
    stage.kv.pages.release(0)
    return { tokens: tokens.length, values: (part) => values.get(partName(part))! }
  }

  /** Logits `[tokens, vocabSize]` of tokens that follow a context given by its cache. */
  async follow(cache: CalibrationContext, tokens: Int32Array): Promise<Float32Array> {
    const { stage } = this
    for (const part of this.parts) {
      const halves = cache.values(part)
      const data = new Uint8Array(halves.buffer, halves.byteOffset, halves.byteLength)
      stage.writeKv({ ...this.#slice(part, cache.tokens), data })
    }
    stage.kv.pages.open(0, this.pages, cache.tokens)
    const entries = [{ sequence: 0, count: tokens.length, outputs: 'all' as const }]
    const { logits } = await stage.forward({ entries, tokens })
    stage.kv.pages.release(0)
    return logits.slice(0, tokens.length * this.vocabSize)
  }

  close(): void {
    this.stage.close()
    this.backend.close()
  }

  #slice({ layer, part }: KvPart, tokens: number): KvSlice {
    const positions = { first: 0, end: tokens }
    return { layer, part: engineParts[part], pages: this.pages, positions, encoding: 'f16' }
  }
}
