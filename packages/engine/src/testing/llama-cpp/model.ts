import koffi, { type TypeObject } from 'koffi'
import type { KvType } from '../../stage/index.ts'
import { type BatchRow, NativeBatch } from './batch.ts'
import { LlamaCppCallError } from './errors.ts'
import { type LlamaLibrary, loadLlamaLibrary } from './library.ts'
import type { ContextParams, Pointer } from './structs.ts'
import { newThreadpool, type Threadpool } from './threadpool.ts'

export interface LlamaCppOptions {
  /** Threads for prefill and decode alike; default 1. */
  readonly threads?: number
  /** Tokens each sequence may hold; default 512. llama.cpp rounds up to a multiple of 256. */
  readonly context?: number
  /** Most tokens of one call, default the context; computed in slices of `microbatch`. */
  readonly batch?: number
  /** Most tokens of one graph, default 512. */
  readonly microbatch?: number
  /** Default 1. */
  readonly sequences?: number
  readonly kvType?: KvType
  /** Default on. */
  readonly flashAttention?: boolean
  /** One KV buffer for all sequences instead of one each; default false. */
  readonly unifiedKv?: boolean
  /** Let the CPU backend keep a copy of the weights in the layout its fastest kernels want; default true. */
  readonly repackWeights?: boolean
  /** Gives one vector of a text instead of logits; default `null`. */
  readonly pooling?: 'mean' | 'last' | null
  /** GGUF file of a LoRA adapter to run with at full strength; default `null`. */
  readonly adapter?: string | null
  /** Print llama.cpp's log lines to stderr; default false. */
  readonly logs?: boolean
}

export interface DecodeEntry {
  readonly sequence: number
  readonly token: number
  /** Tokens of the sequence before this one. */
  readonly position: number
}

/** llama.cpp's own count of what it did since the context was made or `resetTimings`. */
export interface LlamaCppTimings {
  readonly promptTokens: number
  readonly promptMs: number
  readonly decodedTokens: number
  readonly decodeMs: number
  readonly reusedGraphs: number
}

const kvTypeIds: Readonly<Record<KvType, number>> = { F32: 0, F16: 1, Q8_0: 8, Q4_0: 2 }
const poolingIds = { mean: 1, last: 3 } as const
const flashAttentionIds = { off: 0, on: 1 } as const
const maxSequences = 256

/**
 * A model run by llama.cpp's own graphs on the CPU: the independent implementation that tests compare with and
 * benches pair with. One call at a time; positions of a sequence must follow each other without a gap.
 */
export class LlamaCppModel {
  readonly vocabSize: number
  readonly layers: number
  readonly hiddenSize: number
  readonly trainedContext: number
  readonly parameters: number
  readonly weightBytes: number
  /** Tokens each sequence may hold. */
  readonly context: number
  readonly sequences: number

  readonly #library: LlamaLibrary
  readonly #model: Pointer
  readonly #context: Pointer
  readonly #memory: Pointer
  readonly #vocab: Pointer
  readonly #batch: NativeBatch
  readonly #threadpool: Threadpool | null
  readonly #logitsType: TypeObject
  #busy = false
  #closed = false

  /**
   * Loads a GGUF file and makes its context; blocks while reading.
   *
   * @throws LlamaCppUnavailableError where there is no libllama
   * @throws LlamaCppCallError if llama.cpp refuses the file or the options
   */
  static open(path: string, options: LlamaCppOptions = {}): LlamaCppModel {
    const settings = checkedOptions(options)
    const library = loadLlamaLibrary()
    library.showLogs(settings.logs)
    const params = {
      ...library.llama_model_default_params(),
      n_gpu_layers: 0,
      use_extra_bufts: settings.repackWeights,
    }
    const model = library.llama_model_load_from_file(path, params)
    if (model === null) {
      throw new LlamaCppCallError(`llama.cpp cannot load ${path}.`, 'Open it with `logs: true` to see why.')
    }
    const context = library.llama_init_from_model(model, contextParams(library, settings))
    const memory = context === null ? null : library.llama_get_memory(context)
    if (context === null || memory === null) {
      if (context !== null) library.llama_free(context)
      library.llama_model_free(model)
      throw new LlamaCppCallError(
        `llama.cpp cannot make a context of ${settings.context} tokens for ${path}.`,
        'Open it with `logs: true` to see why.',
      )
    }
    if (settings.adapter !== null) applyAdapter(library, model, context, settings.adapter)
    return new LlamaCppModel(library, model, context, memory, settings)
  }

  private constructor(
    library: LlamaLibrary,
    model: Pointer,
    context: Pointer,
    memory: Pointer,
    settings: Settings,
  ) {
    this.#library = library
    this.#model = model
    this.#context = context
    this.#memory = memory
    this.#vocab = library.llama_model_get_vocab(model)
    this.#batch = new NativeBatch(settings.batch)
    this.#threadpool = newThreadpool(library.ggml, settings.threads)
    if (this.#threadpool !== null) {
      const { pointer } = this.#threadpool
      library.llama_attach_threadpool(context, pointer, pointer)
    }
    this.vocabSize = library.llama_vocab_n_tokens(this.#vocab)
    this.layers = library.llama_model_n_layer(model)
    this.hiddenSize = library.llama_model_n_embd(model)
    this.trainedContext = library.llama_model_n_ctx_train(model)
    this.parameters = Number(library.llama_model_n_params(model))
    this.weightBytes = Number(library.llama_model_size(model))
    this.context = library.llama_n_ctx_seq(context)
    this.sequences = settings.sequences
    this.#logitsType = koffi.array('float', this.vocabSize, 'Typed')
  }

  /**
   * Evaluates rows in one call without blocking the event loop; {@link logits} then reads those asked for.
   *
   * @throws RangeError for a token, sequence or position out of bounds
   * @throws LlamaCppCallError if llama.cpp refuses the batch, e.g. because positions leave a gap
   */
  async evaluate(rows: readonly BatchRow[]): Promise<void> {
    const batch = this.#claim(rows)
    try {
      const status = await new Promise<number>((resolve, reject) => {
        this.#library.llama_decode.async(this.#context, batch, (error, result) =>
          error ? reject(error) : resolve(result),
        )
      })
      checkDecoded(status, rows.length)
    } finally {
      this.#busy = false
    }
  }

  /** {@link evaluate} on the calling thread. */
  evaluateSync(rows: readonly BatchRow[]): void {
    const batch = this.#claim(rows)
    try {
      checkDecoded(this.#library.llama_decode(this.#context, batch), rows.length)
    } finally {
      this.#busy = false
    }
  }

  /**
   * A copy of the logits, `[vocabSize]`, of the last evaluation's `row`.
   *
   * @throws LlamaCppCallError if that row was not asked for
   */
  logits(row: number): Float32Array {
    this.#assertIdle()
    const address = this.#library.llama_get_logits_ith(this.#context, row)
    if (address === null) {
      throw new LlamaCppCallError(
        `Row ${row} of the last batch has no logits.`,
        'Ask for them in its BatchRow.',
      )
    }
    return koffi.decode(address, this.#logitsType) as Float32Array
  }

  /**
   * The vector of a text, `[hiddenSize]`, not normalised; the model was opened with a `pooling`. Sequence 0 is forgotten
   * first.
   *
   * @throws LlamaCppCallError if llama.cpp refuses the text or gives no vector
   */
  embedSync(tokens: ArrayLike<number>): Float32Array {
    this.truncate(0, 0)
    for (const rows of this.#chunks(0, tokens, 0, 'all')) this.evaluateSync(rows)
    const address = this.#library.llama_get_embeddings_seq(this.#context, 0)
    if (address === null) throw new LlamaCppCallError('There is no vector.', 'Open the model with a pooling.')
    return koffi.decode(address, koffi.array('float', this.hiddenSize, 'Typed')) as Float32Array
  }

  /** Appends `tokens` to a sequence from `position` on; returns the logits after the last of them. */
  async prefill(sequence: number, tokens: ArrayLike<number>, position = 0): Promise<Float32Array> {
    let last = -1
    for (const rows of this.#chunks(sequence, tokens, position, 'last')) {
      await this.evaluate(rows)
      last = rows.length - 1
    }
    return this.logits(last)
  }

  /** {@link prefill} on the calling thread. */
  prefillSync(sequence: number, tokens: ArrayLike<number>, position = 0): Float32Array {
    let last = -1
    for (const rows of this.#chunks(sequence, tokens, position, 'last')) {
      this.evaluateSync(rows)
      last = rows.length - 1
    }
    return this.logits(last)
  }

  /** One token for each entry in one batch; returns their logits in order. */
  async decode(entries: readonly DecodeEntry[]): Promise<Float32Array[]> {
    await this.evaluate(entries.map((entry) => ({ ...entry, logits: true })))
    return entries.map((_, row) => this.logits(row))
  }

  /** {@link decode} on the calling thread. */
  decodeSync(entries: readonly DecodeEntry[]): Float32Array[] {
    this.evaluateSync(entries.map((entry) => ({ ...entry, logits: true })))
    return entries.map((_, row) => this.logits(row))
  }

  /** Appends `tokens` and returns the logits after each of them. */
  async logitsAll(sequence: number, tokens: ArrayLike<number>, position = 0): Promise<Float32Array[]> {
    const all: Float32Array[] = []
    for (const rows of this.#chunks(sequence, tokens, position, 'all')) {
      await this.evaluate(rows)
      for (const row of rows.keys()) all.push(this.logits(row))
    }
    return all
  }

  /** `count` most likely tokens after `prompt`; sequence 0 is forgotten first and holds the text afterwards. */
  async greedy(prompt: ArrayLike<number>, count: number): Promise<number[]> {
    this.truncate(0, 0)
    let logits = await this.prefill(0, prompt)
    const generated: number[] = []
    for (let position = prompt.length; generated.length < count; position++) {
      const token = argmax(logits)
      generated.push(token)
      if (generated.length < count)
        [logits] = (await this.decode([{ sequence: 0, token, position }])) as [Float32Array]
    }
    return generated
  }

  /**
   * Tokens of a text by llama.cpp's own tokenizer, without BOS.
   *
   * @throws LlamaCppCallError if the file holds no vocabulary
   */
  tokenize(text: string, options: { readonly parseSpecial?: boolean } = {}): Int32Array {
    this.#assertIdle()
    if (this.#library.llama_vocab_type(this.#vocab) === 0) {
      throw new LlamaCppCallError(
        'This model has no vocabulary.',
        'Pass token ids, or a file with a tokenizer.',
      )
    }
    const bytes = Buffer.from(text, 'utf8')
    const tokens = new Int32Array(bytes.length + 16)
    const count = this.#library.llama_tokenize(
      this.#vocab,
      bytes,
      bytes.length,
      tokens,
      tokens.length,
      false,
      options.parseSpecial ?? false,
    )
    if (count < 0) throw new Error(`${bytes.length} bytes gave more than ${tokens.length} tokens.`)
    return tokens.slice(0, count)
  }

  /** Forgets all sequences. */
  clear(): void {
    this.#assertIdle()
    this.#library.llama_memory_clear(this.#memory, false)
  }

  /** Forgets what a sequence holds from position `length` on. */
  truncate(sequence: number, length: number): void {
    this.#assertIdle()
    checkIndex('sequence', sequence, this.sequences)
    if (!this.#library.llama_memory_seq_rm(this.#memory, sequence, length, -1)) {
      throw new LlamaCppCallError(`Sequence ${sequence} cannot be cut at ${length}.`, 'Clear it instead.')
    }
  }

  timings(): LlamaCppTimings {
    this.#assertIdle()
    const perf = this.#library.llama_perf_context(this.#context)
    return {
      promptTokens: perf.n_p_eval,
      promptMs: perf.t_p_eval_ms,
      decodedTokens: perf.n_eval,
      decodeMs: perf.t_eval_ms,
      reusedGraphs: perf.n_reused,
    }
  }

  resetTimings(): void {
    this.#assertIdle()
    this.#library.llama_perf_context_reset(this.#context)
  }

  /** Frees context, model and batch; calling again does nothing. */
  close(): void {
    if (this.#closed) return
    this.#assertIdle()
    this.#closed = true
    this.#batch.free()
    this.#library.llama_free(this.#context)
    this.#threadpool?.free()
    this.#library.llama_model_free(this.#model)
  }

  #assertIdle(): void {
    if (this.#closed) throw new Error('The model is closed.')
    if (this.#busy) throw new Error('llama.cpp is still evaluating the previous batch.')
  }

  #claim(rows: readonly BatchRow[]) {
    this.#assertIdle()
    if (rows.length === 0 || rows.length > this.#batch.capacity) {
      throw new RangeError(`A batch holds 1 to ${this.#batch.capacity} rows, not ${rows.length}.`)
    }
    for (const row of rows) {
      checkIndex('token', row.token, this.vocabSize)
      checkIndex('sequence', row.sequence, this.sequences)
      checkIndex('position', row.position, this.context)
    }
    this.#busy = true
    return this.#batch.fill(rows)
  }

  *#chunks(sequence: number, tokens: ArrayLike<number>, start: number, wanted: 'last' | 'all') {
    if (tokens.length === 0) throw new RangeError('There is no token to evaluate.')
    for (let first = 0; first < tokens.length; first += this.#batch.capacity) {
      const rows: BatchRow[] = []
      for (let index = first; index < Math.min(tokens.length, first + this.#batch.capacity); index++) {
        const logits = wanted === 'all' || index === tokens.length - 1
        rows.push({ sequence, token: tokens[index]!, position: start + index, logits })
      }
      yield rows
    }
  }
}

/** Index of the largest logit; the first of equals. */
export function argmax(logits: ArrayLike<number>): number {
  let best = 0
  for (let index = 1; index < logits.length; index++) if (logits[index]! > logits[best]!) best = index
  return best
}

type Settings = Required<LlamaCppOptions>

function checkedOptions(options: LlamaCppOptions): Settings {
  const context = options.context ?? 512
  const batch = options.batch ?? context
  const settings: Settings = {
    threads: options.threads ?? 1,
    context,
    batch,
    microbatch: options.microbatch ?? Math.min(512, batch),
    sequences: options.sequences ?? 1,
    kvType: options.kvType ?? 'F16',
    flashAttention: options.flashAttention ?? true,
    unifiedKv: options.unifiedKv ?? false,
    repackWeights: options.repackWeights ?? true,
    pooling: options.pooling ?? null,
    adapter: options.adapter ?? null,
    logs: options.logs ?? false,
  }
  for (const name of ['threads', 'context', 'batch', 'microbatch', 'sequences'] as const) {
    const value = settings[name]
    if (!Number.isInteger(value) || value < 1) {
      throw new RangeError(`${name} is a whole number from 1, not ${value}.`)
    }
  }
  if (settings.sequences > maxSequences) {
    throw new RangeError(`llama.cpp holds at most ${maxSequences} sequences, not ${settings.sequences}.`)
  }
  return settings
}

function contextParams(library: LlamaLibrary, settings: Settings): ContextParams {
  return {
    ...library.llama_context_default_params(),
    n_ctx: settings.context * settings.sequences,
    n_batch: settings.batch,
    n_ubatch: settings.microbatch,
    n_seq_max: settings.sequences,
    n_threads: settings.threads,
    n_threads_batch: settings.threads,
    flash_attn_type: settings.flashAttention ? flashAttentionIds.on : flashAttentionIds.off,
    type_k: kvTypeIds[settings.kvType],
    type_v: kvTypeIds[settings.kvType],
    offload_kqv: false,
    op_offload: false,
    no_perf: false,
    kv_unified: settings.unifiedKv,
    embeddings: settings.pooling !== null,
    ...(settings.pooling === null ? {} : { pooling_type: poolingIds[settings.pooling] }),
  }
}

function applyAdapter(library: LlamaLibrary, model: Pointer, context: Pointer, path: string): void {
  // Freed with the model.
  const adapter = library.llama_adapter_lora_init(model, path)
  const applied =
    adapter !== null &&
    library.llama_set_adapters_lora(context, BigUint64Array.of(adapter), 1, Float32Array.of(1)) === 0
  if (applied) return
  library.llama_free(context)
  library.llama_model_free(model)
  throw new LlamaCppCallError(
    `llama.cpp cannot apply the adapter ${path}.`,
    'Open it with `logs: true` to see why.',
  )
}

function checkIndex(name: string, value: number, end: number): void {
  if (!Number.isInteger(value) || value < 0 || value >= end) {
    throw new RangeError(`${name} ${value} is not in [0, ${end}).`)
  }
}

function checkDecoded(status: number, rows: number): void {
  if (status === 0) return
  if (status === 1) {
    throw new LlamaCppCallError(`No room in the KV cache for ${rows} more tokens.`, 'Clear a sequence first.')
  }
  throw new LlamaCppCallError(
    `llama.cpp refused a batch of ${rows} rows with status ${status}.`,
    'Positions of a sequence must follow each other; open with `logs: true` to see its reason.',
  )
}
