import { decodeActivations, encodeActivations } from '@deos/codec'
import {
  type ActivationCoding,
  balanceLayers,
  headParameters,
  type ModelConfig,
  matrixParametersOfLayers,
} from '@deos/domain'
import { Backend, Stage, type StageOutput } from '@deos/engine'
import { loadTokenizer } from '@deos/engine/tokenizer'
import { openModel, resolveStageWeights } from '@deos/engine/weights'

const PAGE_TOKENS = 16
/** Of the model: as many as the ring in four regions has. */
const STAGES = 4

/** A whole model in stages, between which hidden states are coded as they would be on a link. */
export class ActivationLab {
  /** Bytes that went over all cuts since the last reading. */
  private sentBytes = 0

  private constructor(
    private readonly backend: Backend,
    private readonly stages: readonly Stage[],
    private readonly config: ModelConfig,
    private readonly pages: readonly number[],
    readonly encode: (text: string) => Int32Array,
  ) {}

  static async open(modelPath: string, cacheDir: string, maxTokens: number): Promise<ActivationLab> {
    const source = await openModel(modelPath)
    const { config } = source
    const tokenizer = await loadTokenizer(source)
    const backend = Backend.open({ threads: 1 })
    const pageCount = Math.ceil(maxTokens / PAGE_TOKENS)
    const weight = { layers: matrixParametersOfLayers(config), head: headParameters(config) }
    const stages: Stage[] = []
    for (const layers of balanceLayers(weight, new Array<number>(STAGES).fill(1))) {
      const place = { layers, embedding: layers.first === 0, head: layers.end === config.layers }
      const weights = await resolveStageWeights({ source, ...place, type: 'native', cacheDir })
      const kv = { type: 'F16' as const, pageCount, pageTokens: PAGE_TOKENS }
      stages.push(await Stage.load(backend, { config, ...place, weights, kv, maxBatchTokens: maxTokens }))
    }
    const pages = Array.from({ length: pageCount }, (_, page) => page)
    return new ActivationLab(backend, stages, config, pages, (text) => tokenizer.encode(text))
  }

  get vocabSize(): number {
    return this.config.vocabSize
  }

  /** Of float32 over all cuts. */
  get plainTokenBytes(): number {
    return (STAGES - 1) * this.config.hiddenSize * 4
  }

  /**
   * Reads a text at once, then its last tokens one by one.
   *
   * @returns logits `[tokens - decoded, vocabSize]` of the first part, and bytes a token over all cuts in either
   */
  async read(tokens: Int32Array, decoded: number, coding: ActivationCoding) {
    for (const { kv } of this.stages) kv.pages.open(0, this.pages)
    try {
      const length = tokens.length - decoded
      this.sentBytes = 0
      const logits = (await this.forward(tokens.subarray(0, length), coding)).logits.slice()
      const promptBytes = this.sentBytes / length
      this.sentBytes = 0
      for (let at = length; at < tokens.length; at += 1) {
        await this.forward(tokens.subarray(at, at + 1), coding)
      }
      return { logits, promptBytes, decodeBytes: this.sentBytes / decoded }
    } finally {
      for (const { kv } of this.stages) kv.pages.release(0)
    }
  }

  close(): void {
    for (const stage of this.stages) stage.close()
    this.backend.close()
  }

  private async forward(tokens: Int32Array, coding: ActivationCoding): Promise<StageOutput> {
    let output: StageOutput | null = null
    for (const [index, stage] of this.stages.entries()) {
      const outputs = index === this.stages.length - 1 ? ('all' as const) : ('none' as const)
      const entries = [{ sequence: 0, count: tokens.length, outputs }]
      output = await stage.forward(
        output ? { entries, hidden: this.sent(output.hidden, tokens.length, coding) } : { entries, tokens },
      )
    }
    return output!
  }

  /** Hidden states as they come out at the other end of a link. */
  private sent(hidden: Float32Array, tokens: number, coding: ActivationCoding): Float32Array {
    const bytes = new Uint8Array(hidden.slice().buffer)
    const shape = { tokens, width: this.config.hiddenSize }
    const coded = encodeActivations(bytes, shape, coding)
    this.sentBytes += (coded ?? bytes).length
    return new Float32Array(coded === null ? bytes.buffer : decodeActivations(coded, shape).buffer)
  }
}
