import { ModelFileError, UnsupportedModelError } from '../weights/errors.ts'
import { isRecord } from '../weights/fields.ts'
import type { TokenizerDefinition } from './definition.ts'
import { preTokenizerNamed } from './gguf-pre-tokenizers.ts'
import { mergesFromScores } from './sentencepiece-merges.ts'

/** GGUF's `tokenizer.ggml.token_type`. */
const tokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

/** Control tokens that end a turn; files tend to name only one of those a model uses. */
const turnEnds = [
  '<|eot_id|>',
  '<|im_end|>',
  '<|end|>',
  '<end_of_turn>',
  '<|endoftext|>',
  '<|eom_id|>',
  '<EOT>',
]

/**
 * Tokenizer of a GGUF file. `tokenizer.huggingface.json`, where present, is taken as it is; else the tokenizer is
 * rebuilt from `tokenizer.ggml.*`: model `gpt2` (byte-level BPE) or `llama` (SentencePiece).
 *
 * @param metadata - plain values by key
 * @throws UnsupportedModelError or ModelFileError that names file and key
 */
export function readGgufDefinition(
  file: string,
  metadata: ReadonlyMap<string, unknown>,
  eosTokens: readonly number[],
): TokenizerDefinition {
  const fields = new GgufTokenizerFields(file, metadata)
  const tokens = fields.tokens()
  const types = fields.numbers('token_type', tokens.length)
  const textOf = (key: string): string | null => {
    const id = fields.id(key, tokens.length)
    return id === null ? null : tokens[id]!
  }
  const vocabulary: Vocabulary = { tokens, types }
  const bosToken = textOf('bos_token_id')
  const built = buildJson(fields, vocabulary)
  const isTurnEnd = (id: number) => turnEnds.includes(tokens[id]!) && types?.[id] === tokenType.control
  const ends = [fields.id('eos_token_id', tokens.length), fields.id('eot_token_id', tokens.length)]
  return {
    origin: file,
    json: built.json,
    bosToken,
    eosToken: textOf('eos_token_id'),
    addBos: fields.flag('add_bos_token') ?? built.addBos,
    addEos: fields.flag('add_eos_token'),
    stopTokens: [
      ...eosTokens,
      ...ends.filter((id) => id !== null),
      ...tokens.flatMap((_, id) => (isTurnEnd(id) ? [id] : [])),
    ],
    chatTemplate: fields.template('tokenizer.chat_template'),
    toolChatTemplate: fields.template('tokenizer.chat_template.tool_use'),
  }
}

interface Vocabulary {
  readonly tokens: readonly string[]
  readonly types: readonly number[] | null
}

interface Built {
  readonly json: Readonly<Record<string, unknown>>
  /** What the tokenizer's kind does unless the file says otherwise; `null` leaves it to the post-processor. */
  readonly addBos: boolean | null
}

function buildJson(fields: GgufTokenizerFields, vocabulary: Vocabulary): Built {
  const exact = fields.huggingFaceJson()
  if (exact) return { json: exact, addBos: null }
  const model = fields.text('model')
  if (model === 'gpt2') return buildByteLevel(fields, vocabulary)
  if (model === 'llama') return buildSentencePiece(fields, vocabulary)
  throw new UnsupportedModelError(
    fields.file,
    model === null || model === 'none'
      ? 'has no tokenizer'
      : `has a tokenizer of type "${model}" (tokenizer.ggml.model)`,
    'Supported are gpt2 and llama; any other BPE tokenizer works from its Hugging Face folder.',
  )
}

function buildByteLevel(fields: GgufTokenizerFields, vocabulary: Vocabulary): Built {
  const pre = preTokenizerNamed(fields.file, fields.text('pre') ?? 'default')
  const merges = fields.texts('merges')
  if (merges === null) throw fields.missing('merges')
  const json = {
    normalizer: pre.normalizer,
    pre_tokenizer: pre.preTokenizer,
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    added_tokens: addedTokens(vocabulary),
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(vocabulary.tokens.map((text, id) => [text, id])),
      merges,
      ignore_merges: pre.ignoreMerges,
    },
  }
  return { json, addBos: pre.addBos }
}

function buildSentencePiece(fields: GgufTokenizerFields, vocabulary: Vocabulary): Built {
  const { tokens, types } = vocabulary
  const scores = fields.numbers('scores', tokens.length)
  if (scores === null) throw fields.missing('scores')
  const isPiece = (id: number) =>
    types === null || types[id] === tokenType.normal || types[id] === tokenType.userDefined
  const pieces = new Map(
    tokens.map((text, id) => [text, { id, score: scores[id]! }] as const).filter(([, { id }]) => isPiece(id)),
  )
  const unknown = fields.id('unknown_token_id', tokens.length)
  const addsSpace = fields.flag('add_space_prefix') ?? true
  const spaces = { type: 'Replace', pattern: { String: ' ' }, content: '▁' }
  const json = {
    normalizer: addsSpace
      ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, spaces] }
      : spaces,
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(addsSpace ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    added_tokens: addedTokens(vocabulary),
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(tokens.map((text, id) => [text, id])),
      merges: mergesFromScores(pieces),
      byte_fallback: true,
      unk_token: unknown === null ? null : tokens[unknown],
      fuse_unk: true,
    },
  }
  return { json, addBos: true }
}

/** Control and user-defined tokens are matched in the text; only the latter anywhere. */
function addedTokens({ tokens, types }: Vocabulary): object[] {
  const matched: readonly number[] = [tokenType.unknown, tokenType.control, tokenType.userDefined]
  return tokens.flatMap((content, id) => {
    const type = types?.[id] ?? tokenType.normal
    if (!matched.includes(type)) return []
    return [{ id, content, special: type !== tokenType.userDefined, normalized: false }]
  })
}

/** Values under `tokenizer.ggml.`, with their type checked. */
class GgufTokenizerFields {
  readonly file: string
  readonly #metadata: ReadonlyMap<string, unknown>

  constructor(file: string, metadata: ReadonlyMap<string, unknown>) {
    this.file = file
    this.#metadata = metadata
  }

  text(key: string): string | null {
    const value = this.#value(key)
    if (value === null || typeof value === 'string') return value
    throw this.#wrong(key, 'a text')
  }

  flag(key: string): boolean | null {
    const value = this.#value(key)
    if (value === null || typeof value === 'boolean') return value
    throw this.#wrong(key, 'true or false')
  }

  /** Converters write 2^32 - 1 for a token there is not. */
  id(key: string, vocabSize: number): number | null {
    const value = this.#value(key)
    if (value === null || value === 0xffffffff) return null
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < vocabSize) return value
    throw this.#wrong(key, `a token id below ${vocabSize}`)
  }

  tokens(): readonly string[] {
    const tokens = this.texts('tokens')
    if (tokens === null || tokens.length === 0) throw this.missing('tokens')
    return tokens
  }

  texts(key: string): readonly string[] | null {
    const value = this.#value(key)
    if (value === null) return null
    if (Array.isArray(value) && value.every((entry) => typeof entry === 'string')) return value
    throw this.#wrong(key, 'a list of texts')
  }

  numbers(key: string, length: number): readonly number[] | null {
    const value = this.#value(key)
    if (value === null) return null
    const list: unknown[] =
      ArrayBuffer.isView(value) || Array.isArray(value) ? Array.from(value as number[]) : []
    if (list.length === length && list.every((entry) => typeof entry === 'number')) return list
    throw this.#wrong(key, `a list of ${length} numbers, one for each token`)
  }

  template(key: string): string | null {
    const value = this.#metadata.get(key)
    return typeof value === 'string' ? value : null
  }

  huggingFaceJson(): Readonly<Record<string, unknown>> | null {
    const text = this.#metadata.get('tokenizer.huggingface.json')
    if (typeof text !== 'string') return null
    try {
      const json: unknown = JSON.parse(text)
      if (isRecord(json)) return json
    } catch (cause) {
      throw new ModelFileError(this.file, 'holds damaged JSON under "tokenizer.huggingface.json"', { cause })
    }
    throw new ModelFileError(this.file, 'holds no object under "tokenizer.huggingface.json"')
  }

  missing(key: string): ModelFileError {
    return new ModelFileError(this.file, `has no "tokenizer.ggml.${key}"`)
  }

  #value(key: string): unknown {
    return this.#metadata.get(`tokenizer.ggml.${key}`) ?? null
  }

  #wrong(key: string, wanted: string): ModelFileError {
    return new ModelFileError(this.file, `should hold ${wanted} under "tokenizer.ggml.${key}"`)
  }
}
