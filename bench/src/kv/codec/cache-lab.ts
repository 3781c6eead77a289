import type { KvSlice } from '@deos/domain'
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

const bytesOf = (halves: Uint16Array): Uint8Array =>
  new Uint8Array(halves.buffer, halves.byteOffset, halves.byteLength)

/** A whole model with its cache in halves, whose contexts can be taken out, changed and put back. */
export class CacheLab {
  private constructor(
    private readonly backend: Backend,
    private readonly stage: Stage,
    private readonly pages: readonly number[],
    readonly layers: number,
    readonly channels: number,
    readonly headDim: number,
    readonly ropeTheta: number,
    readonly vocabSize: number,
    readonly encode: (text: string) => Int32Array,
  ) {}

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
    const channels = stage.kv.cellBytes.k / 2
    const headDim = config.ropeDim
    return new CacheLab(
      ...([
        backend,
        stage,
        pages,
        config.layers,
        channels,
        headDim,
        config.ropeTheta,
        config.vocabSize,
      ] as const),
      (text) => tokenizer.encode(text),
    )
  }

  /** Computes a context and takes its cache out. */
  async prefill(tokens: Int32Array): Promise<ContextCache> {
    const { kv } = this.stage
    kv.pages.open(0, this.pages)
    await this.stage.forward({ entries: [{ sequence: 0, count: tokens.length, outputs: 'last' }], tokens })
    const halves = (layer: number, part: KvSlice['part']) => {
      const bytes = this.stage.readKv(this.slice(layer, part, tokens.length))
      return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2)
    }
    const cache = Array.from({ length: this.layers }, (_, layer) => ({
      ...{ k: halves(layer, 'key'), v: halves(layer, 'value') },
    }))
    kv.pages.release(0)
    return cache
  }

  /** Logits `[tokens, vocabSize]` of tokens that follow a context given by its cache. */
  async score(cache: ContextCache, tokens: Int32Array): Promise<Float32Array> {
    const { kv } = this.stage
    const context = cache[0]!.k.length / this.channels
    for (const [layer, { k, v }] of cache.entries()) {
      this.stage.writeKv({ ...this.slice(layer, 'key', context), data: bytesOf(k) })
      this.stage.writeKv({ ...this.slice(layer, 'value', context), data: bytesOf(v) })
    }
    kv.pages.open(0, this.pages, context)
    const entries = [{ sequence: 0, count: tokens.length, outputs: 'all' as const }]
    const { logits } = await this.stage.forward({ entries, tokens })
    kv.pages.release(0)
    return logits.slice(0, tokens.length * this.vocabSize)
  }

  close(): void {
    this.stage.close()
    this.backend.close()
  }

  private slice(layer: number, part: KvSlice['part'], tokens: number): KvSlice {
    return { layer, part, pages: this.pages, positions: { first: 0, end: tokens }, encoding: 'f16' }
  }
}
