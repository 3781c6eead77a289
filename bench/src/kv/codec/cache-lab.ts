import { bytesFromHalves, halvesFromBytes, type RotaryOf, rotaryOfLayouts } from '@deos/codec'
import { type KvSlice, kvColumns, type ModelConfig } from '@deos/domain'
import { Backend, Stage } from '@deos/engine'
import { loadTokenizer } from '@deos/engine/tokenizer'
import { openModel, resolveStageWeights } from '@deos/engine/weights'

/** K and V of every layer over one context, `[tokens, channels]` in halves, keys turned. */
export type ContextCache = readonly { readonly k: Uint16Array; readonly v: Uint16Array }[]

export interface LabOptions {
  readonly modelPath: string
  readonly threads: number
  readonly cacheDir: string
  readonly maxTokens: number
}

const PAGE_TOKENS = 16

/** A whole model with its cache in halves, whose contexts can be taken out, changed and put back. */
export class CacheLab {
  /** How the keys of each layer turn. */
  readonly rotary: RotaryOf
  /** Of keys, and of values, in each layer. */
  readonly channels: number

  private constructor(
    private readonly backend: Backend,
    private readonly stage: Stage,
    private readonly config: ModelConfig,
    private readonly pages: readonly number[],
    readonly encode: (text: string) => Int32Array,
  ) {
    const layouts = Array.from({ length: config.layers }, (_, layer) => stage.kvLayout(layer))
    this.rotary = rotaryOfLayouts(layouts)
    this.channels = kvColumns(layouts[0]!, 'key')
    for (const [layer, layout] of layouts.entries())
      for (const part of ['key', 'value'] as const)
        if (kvColumns(layout, part) !== this.channels)
          throw new RangeError(
            `Layer ${layer} has ${kvColumns(layout, part)} channels of ${part}s; the bench needs ${this.channels} everywhere.`,
          )
  }

  static async open({ modelPath, threads, cacheDir, maxTokens }: LabOptions): Promise<CacheLab> {
    const source = await openModel(modelPath)
    const { config } = source
    const place = { layers: { first: 0, end: config.layers }, embedding: true, head: true }
    const weights = await resolveStageWeights({ source, ...place, type: 'native', cacheDir })
    const pageCount = Math.ceil(maxTokens / PAGE_TOKENS)
    const tokenizer = await loadTokenizer(source)
    const backend = Backend.open({ threads })
    const kv = { type: 'F16' as const, pageCount, pageTokens: PAGE_TOKENS }
    const stage = await Stage.load(backend, { config, ...place, weights, kv, maxBatchTokens: maxTokens })
    const pages = Array.from({ length: pageCount }, (_, page) => page)
    return new CacheLab(backend, stage, config, pages, (text) => tokenizer.encode(text))
  }

  get layers(): number {
    return this.config.layers
  }

  get vocabSize(): number {
    return this.config.vocabSize
  }

  /** Of K and V in halves in all layers. */
  get positionBytes(): number {
    return 4 * this.channels * this.layers
  }

  /** Computes a context and takes its cache out. */
  async prefill(tokens: Int32Array): Promise<ContextCache> {
    const { stage } = this
    stage.kv.pages.open(0, this.pages)
    await stage.forward({ entries: [{ sequence: 0, count: tokens.length, outputs: 'last' }], tokens })
    const cache = Array.from({ length: this.layers }, (_, layer) => ({
      k: halvesFromBytes(stage.readKv(this.slice(layer, 'key', tokens.length))),
      v: halvesFromBytes(stage.readKv(this.slice(layer, 'value', tokens.length))),
    }))
    stage.kv.pages.release(0)
    return cache
  }

  /** Logits `[tokens, vocabSize]` of tokens that follow a context given by its cache. */
  async score(cache: ContextCache, tokens: Int32Array): Promise<Float32Array> {
    const { stage } = this
    const context = cache[0]!.k.length / this.channels
    this.write(cache, context, false)
    stage.kv.pages.open(0, this.pages, context)
    const entries = [{ sequence: 0, count: tokens.length, outputs: 'all' as const }]
    const { logits } = await stage.forward({ entries, tokens })
    stage.kv.pages.release(0)
    return logits.slice(0, tokens.length * this.vocabSize)
  }

  /**
   * Tokens that follow a context, which is replaced by a better copy when `after` of them are computed; their own K and V
   * stay what they were computed as.
   *
   * @returns logits `[tokens - after, vocabSize]` of those behind the change
   */
  async scoreReplaced(
    begun: ContextCache,
    better: ContextCache,
    tokens: Int32Array,
    after: number,
  ): Promise<Float32Array> {
    const { stage } = this
    const context = begun[0]!.k.length / this.channels
    this.write(begun, context, false)
    stage.kv.pages.open(0, this.pages, context)
    const before = { entries: [{ sequence: 0, count: after, outputs: 'last' as const }] }
    await stage.forward({ ...before, tokens: tokens.slice(0, after) })
    this.write(better, context, true)
    const count = tokens.length - after
    const rest = { entries: [{ sequence: 0, count, outputs: 'all' as const }] }
    const { logits } = await stage.forward({ ...rest, tokens: tokens.slice(after) })
    stage.kv.pages.release(0)
    return logits.slice(0, count * this.vocabSize)
  }

  close(): void {
    this.stage.close()
    this.backend.close()
  }

  private write(cache: ContextCache, context: number, refines: boolean): void {
    for (const [layer, { k, v }] of cache.entries()) {
      this.stage.writeKv({ ...this.slice(layer, 'key', context), data: bytesFromHalves(k), refines })
      this.stage.writeKv({ ...this.slice(layer, 'value', context), data: bytesFromHalves(v), refines })
    }
  }

  private slice(layer: number, part: KvSlice['part'], tokens: number): KvSlice {
    return { layer, part, pages: this.pages, positions: { first: 0, end: tokens }, encoding: 'f16' }
  }
}
