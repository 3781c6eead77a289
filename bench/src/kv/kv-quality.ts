import { Backend, type KvType, kvPageBytes, Stage } from '@deos/engine'
import { loadTokenizer } from '@deos/engine/tokenizer'
import { type ModelSource, openModel, resolveStageWeights } from '@deos/engine/weights'

export interface KvQualityOptions {
  readonly modelPath: string
  /** Text the model was not trained on. */
  readonly text: string
  readonly types: readonly KvType[]
  /** Windows of the text that are read, each as a sequence of its own. */
  readonly windows: number
  readonly windowTokens: number
  readonly threads: number
  readonly cacheDir: string
  progress(line: string): void
}

/** How well a model predicts the text with its K and V stored in one type. */
export interface KvQuality {
  readonly type: KvType
  readonly perplexity: number
  /** Share of positions whose likeliest token is the one that F16 gives. */
  readonly top1Agreement: number
  /** Bytes of K and V for each position. */
  readonly positionBytes: number
}

/** What a window says: the likeliest token at each counted position, and how unlikely the text's own ones are together. */
interface WindowResult {
  readonly likeliest: Int32Array
  readonly negativeLogLikelihood: number
}

const PAGE_TOKENS = 16

/**
 * Reads windows of a text with K and V in each type. The first half of a window is context only; what is counted is
 * how its second half is predicted, every query over K and V as they are stored.
 *
 * @returns F16 first, then the types in order
 * @throws RangeError if the text is shorter than the windows
 */
export async function measureKvQuality(options: KvQualityOptions): Promise<readonly KvQuality[]> {
  const source = await openModel(options.modelPath)
  const windows = await cutWindows(source, options)
  const backend = Backend.open({ threads: options.threads })
  try {
    const reference = await readWindows(backend, source, windows, 'F16', options)
    const qualities = [summarise(source, 'F16', reference, reference)]
    for (const type of options.types) {
      const results = await readWindows(backend, source, windows, type, options)
      qualities.push(summarise(source, type, results, reference))
    }
    return qualities
  } finally {
    backend.close()
  }
}

async function cutWindows(source: ModelSource, options: KvQualityOptions): Promise<readonly Int32Array[]> {
  const { windows, windowTokens } = options
  const tokens = (await loadTokenizer(source)).encode(options.text)
  if (tokens.length < windows * windowTokens) {
    throw new RangeError(
      `The text has ${tokens.length} tokens; ${windows} windows of ${windowTokens} need more.`,
    )
  }
  // Spread over the whole text, so that fewer windows are a sample of more.
  const stride = Math.floor((tokens.length - windowTokens) / Math.max(1, windows - 1))
  return Array.from({ length: windows }, (_, index) =>
    tokens.slice(index * stride, index * stride + windowTokens),
  )
}

async function readWindows(
  backend: Backend,
  source: ModelSource,
  windows: readonly Int32Array[],
  type: KvType,
  { windowTokens, cacheDir, progress }: KvQualityOptions,
): Promise<readonly WindowResult[]> {
  progress(`reading ${windows.length} × ${windowTokens} tokens with K and V in ${type}`)
  const { config } = source
  const place = { layers: { first: 0, end: config.layers }, embedding: true, head: true }
  const weights = await resolveStageWeights({ source, ...place, type: 'native', cacheDir })
  const pageCount = Math.ceil(windowTokens / PAGE_TOKENS)
  const kv = { type, pageCount, pageTokens: PAGE_TOKENS }
  const stage = await Stage.load(backend, { config, ...place, weights, kv, maxBatchTokens: windowTokens })
  const pages = Array.from({ length: pageCount }, (_, page) => page)
  try {
    const results: WindowResult[] = []
    for (const tokens of windows) {
      stage.kv.pages.open(0, pages)
      const entries = [{ sequence: 0, count: tokens.length, outputs: 'all' as const }]
      const { logits } = await stage.forward({ entries, tokens })
      results.push(scoreWindow(tokens, logits, config.vocabSize))
      stage.kv.pages.release(0)
    }
    return results
  } finally {
    stage.close()
  }
}

function scoreWindow(tokens: Int32Array, logits: Float32Array, vocabSize: number): WindowResult {
  const first = Math.floor(tokens.length / 2)
  const likeliest = new Int32Array(tokens.length - 1 - first)
  let negativeLogLikelihood = 0
  for (let position = first; position < tokens.length - 1; position += 1) {
    const row = logits.subarray(position * vocabSize, (position + 1) * vocabSize)
    const best = indexOfLargest(row)
    likeliest[position - first] = best
    let sum = 0
    for (const logit of row) sum += Math.exp(logit - row[best]!)
    negativeLogLikelihood += row[best]! + Math.log(sum) - row[tokens[position + 1]!]!
  }
  return { likeliest, negativeLogLikelihood }
}

function indexOfLargest(values: Float32Array): number {
  let best = 0
  for (let index = 1; index < values.length; index += 1) if (values[index]! > values[best]!) best = index
  return best
}

function summarise(
  { config }: ModelSource,
  type: KvType,
  results: readonly WindowResult[],
  reference: readonly WindowResult[],
): KvQuality {
  let positions = 0
  let agreeing = 0
  let negativeLogLikelihood = 0
  for (const [index, result] of results.entries()) {
    positions += result.likeliest.length
    negativeLogLikelihood += result.negativeLogLikelihood
    const expected = reference[index]!.likeliest
    agreeing += result.likeliest.reduce((count, token, at) => count + (token === expected[at] ? 1 : 0), 0)
  }
  return {
    type,
    perplexity: Math.exp(negativeLogLikelihood / positions),
    top1Agreement: agreeing / positions,
    positionBytes: kvPageBytes(config, config.layers, { type, pageTokens: 1 }),
  }
}
