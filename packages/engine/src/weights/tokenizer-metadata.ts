import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ModelConfig } from '@deos/domain'
import { ModelFileError, UnsupportedModelError } from './errors.ts'
import { isRecord } from './fields.ts'
import { eosTokensKey } from './gguf-config.ts'
import { array, bool, type GgufValue, string, uint32 } from './gguf-values.ts'
import { readJsonFile } from './json-file.ts'
import { preTokenizerName } from './pre-tokenizer.ts'

/** GGUF's token types. */
const tokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

type Json = Record<string, unknown>

export interface TokenizerMetadata {
  readonly entries: readonly [string, GgufValue][]
  /** What the file cannot express exactly, for people. */
  readonly notes: readonly string[]
}

/**
 * The tokenizer of a Hugging Face folder as llama.cpp reads it from GGUF, and `tokenizer.json` itself beside it
 * for readers that want it exact. Without a `tokenizer.json` the model has token ids only.
 *
 * @throws ModelFileError if the tokenizer does not fit the model
 * @throws UnsupportedModelError if it is neither byte-level BPE nor SentencePiece-style BPE
 */
export async function tokenizerMetadata(folder: string, config: ModelConfig): Promise<TokenizerMetadata> {
  const file = join(folder, 'tokenizer.json')
  const tokenizer = await readJsonFile(file)
  if (!tokenizer) {
    return {
      entries: [['tokenizer.ggml.model', string('none')], ...endTokens(config)],
      notes: [`${folder} has no tokenizer.json: the converted model has no tokenizer.`],
    }
  }
  const settings = (await readJsonFile(join(folder, 'tokenizer_config.json'))) ?? {}
  const model = isRecord(tokenizer.model) ? tokenizer.model : {}
  if (model.type !== 'BPE') {
    throw new UnsupportedModelError(
      file,
      `is a tokenizer of type ${JSON.stringify(model.type) ?? 'unknown'}`,
      'Only BPE tokenizers can be converted.',
    )
  }
  const tokens = readTokens(file, tokenizer, model, config.vocabSize)
  const pieces =
    model.byte_fallback === true
      ? sentencePiece(file, tokenizer, model, tokens)
      : byteLevel(file, tokenizer, model, tokens)
  return {
    entries: [
      ...pieces.entries,
      ...specialTokens(tokenizer, settings, tokens),
      ...endTokens(config),
      ...(await chatTemplates(folder, settings)),
      ['tokenizer.huggingface.json', string(JSON.stringify(tokenizer))],
    ],
    notes: pieces.notes,
  }
}

interface Token {
  readonly text: string
  readonly type: number
}

interface AddedToken {
  readonly id: number
  readonly content: string
  readonly special: boolean
}

function addedTokens(tokenizer: Json): AddedToken[] {
  const list = Array.isArray(tokenizer.added_tokens) ? tokenizer.added_tokens : []
  return list
    .filter((token) => isRecord(token) && Number.isInteger(token.id) && typeof token.content === 'string')
    .map((token) => ({ id: token.id, content: token.content, special: token.special === true }))
}

/** One token per row of the embedding; ids without a text become unused. */
function readTokens(file: string, tokenizer: Json, model: Json, vocabSize: number): Token[] {
  if (!isRecord(model.vocab)) throw new ModelFileError(file, 'has no model.vocab')
  const tokens: (Token | undefined)[] = new Array(vocabSize).fill(undefined)
  const place = (id: unknown, token: Token) => {
    if (!Number.isInteger(id) || (id as number) < 0 || (id as number) >= vocabSize) {
      throw new ModelFileError(
        file,
        `gives ${JSON.stringify(token.text)} the id ${id}, but the model has ${vocabSize} tokens`,
        { hint: 'Check that the tokenizer belongs to the model.' },
      )
    }
    tokens[id as number] = token
  }
  for (const [text, id] of Object.entries(model.vocab)) place(id, { text, type: baseType(text, model) })
  for (const { id, content, special } of addedTokens(tokenizer)) {
    const type = text(model.unk_token) === content ? tokenType.unknown : addedType(content, special)
    place(id, { text: content, type })
  }
  const filled = tokens.map((token, id) => token ?? { text: `[PAD${id}]`, type: tokenType.unused })
  refuseDuplicates(file, filled)
  return filled
}

function baseType(content: string, model: Json): number {
  if (model.byte_fallback === true && /^<0x[0-9A-Fa-f]{2}>$/.test(content)) return tokenType.byte
  return text(model.unk_token) === content ? tokenType.unknown : tokenType.normal
}

/** Some files mark control tokens as ordinary ones; their looks tell. */
const addedType = (content: string, special: boolean): number =>
  special || /^<\|.*\|>$/.test(content) ? tokenType.control : tokenType.userDefined

/** llama.cpp aborts the process on a text that stands for two ids. */
function refuseDuplicates(file: string, tokens: readonly Token[]): void {
  const seen = new Map<string, number>()
  for (const [id, { text: content }] of tokens.entries()) {
    const earlier = seen.get(content)
    if (earlier !== undefined) {
      throw new ModelFileError(
        file,
        `gives the ids ${earlier} and ${id} to the same text ${JSON.stringify(content)}`,
      )
    }
    seen.set(content, id)
  }
}

const text = (value: unknown): string | null => (typeof value === 'string' ? value : null)

/** Merge pairs; older files write them as one text with a space, newer ones as lists. */
function mergePairs(file: string, model: Json): [string, string][] {
  const merges = Array.isArray(model.merges) ? model.merges : null
  if (!merges) throw new ModelFileError(file, 'has no model.merges')
  return merges.map((merge, index) => {
    const pair = typeof merge === 'string' ? splitOnce(merge) : merge
    if (Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === 'string' && part)) {
      return pair as [string, string]
    }
    throw new ModelFileError(file, `has a merge ${index} that is not a pair of texts`)
  })
}

function splitOnce(merge: string): string[] {
  const at = merge.indexOf(' ', 1)
  return at < 0 ? [merge] : [merge.slice(0, at), merge.slice(at + 1)]
}

function tokenLists(tokens: readonly Token[]): [string, GgufValue][] {
  return [
    [
      'tokenizer.ggml.tokens',
      array(
        'string',
        tokens.map((token) => token.text),
      ),
    ],
    [
      'tokenizer.ggml.token_type',
      array(
        'int32',
        tokens.map((token) => token.type),
      ),
    ],
  ]
}

function byteLevel(file: string, tokenizer: Json, model: Json, tokens: readonly Token[]): TokenizerMetadata {
  const pre = preTokenizerName(tokenizer)
  // A space inside a piece would look like the gap between the two; byte-level alphabets write it as Ġ.
  const merges = mergePairs(file, model).map((pair) =>
    pair.map((part) => part.replaceAll(' ', 'Ġ')).join(' '),
  )
  return {
    entries: [
      ['tokenizer.ggml.model', string('gpt2')],
      ['tokenizer.ggml.pre', string(pre ?? 'default')],
      ...tokenLists(tokens),
      ['tokenizer.ggml.merges', array('string', merges)],
    ],
    notes: pre
      ? []
      : [
          `llama.cpp does not know how ${file} splits words: it may cut some texts differently. DeOS is exact.`,
        ],
  }
}

function sentencePiece(
  file: string,
  tokenizer: Json,
  model: Json,
  tokens: readonly Token[],
): TokenizerMetadata {
  return {
    entries: [
      ['tokenizer.ggml.model', string('llama')],
      ['tokenizer.ggml.pre', string('default')],
      ...tokenLists(tokens),
      ['tokenizer.ggml.scores', array('float32', mergeScores(mergePairs(file, model), tokens))],
      ['tokenizer.ggml.add_space_prefix', bool(addsSpace(tokenizer))],
    ],
    notes: [],
  }
}

/** llama.cpp joins the pair with the highest score first, BPE the one that comes first in the list. */
function mergeScores(merges: readonly (readonly [string, string])[], tokens: readonly Token[]): number[] {
  const rank = new Map<string, number>()
  for (const [index, [left, right]] of merges.entries()) {
    if (!rank.has(left + right)) rank.set(left + right, index)
  }
  return tokens.map(({ text: content, type }) => {
    if (type !== tokenType.normal) return 0
    return -(rank.get(content) ?? merges.length)
  })
}

function addsSpace(tokenizer: Json): boolean {
  const normalizer = isRecord(tokenizer.normalizer) ? tokenizer.normalizer : {}
  const steps = Array.isArray(normalizer.normalizers) ? normalizer.normalizers : [normalizer]
  if (steps.some((step) => isRecord(step) && step.type === 'Prepend')) return true
  const pre = isRecord(tokenizer.pre_tokenizer) ? tokenizer.pre_tokenizer : {}
  if (pre.type !== 'Metaspace') return false
  return pre.prepend_scheme === undefined ? pre.add_prefix_space !== false : pre.prepend_scheme !== 'never'
}

function specialTokens(tokenizer: Json, settings: Json, tokens: readonly Token[]): [string, GgufValue][] {
  const ids = new Map(tokens.map((token, id) => [token.text, id]))
  const entries: [string, GgufValue][] = []
  for (const [name, key] of [
    ['unk', 'unknown'],
    ['pad', 'padding'],
  ] as const) {
    const id = ids.get(specialText(settings[`${name}_token`]) ?? '')
    if (id !== undefined) entries.push([`tokenizer.ggml.${key}_token_id`, uint32(id)])
  }
  const adds = addedAround(tokenizer, settings)
  entries.push(['tokenizer.ggml.add_bos_token', bool(adds.bos)])
  entries.push(['tokenizer.ggml.add_eos_token', bool(adds.eos)])
  return entries
}

/** Special tokens are given as a text or as an object with the text in `content`. */
const specialText = (token: unknown): string | null => (isRecord(token) ? text(token.content) : text(token))

/** Whether encoding puts BOS in front and EOS behind: the template that `tokenizer.json` applies decides. */
function addedAround(tokenizer: Json, settings: Json): { bos: boolean; eos: boolean } {
  const bos = settings.add_bos_token
  const eos = settings.add_eos_token
  const post = isRecord(tokenizer.post_processor) ? tokenizer.post_processor : {}
  const steps: unknown[] = Array.isArray(post.processors) ? post.processors : [post]
  const template = steps.find((step) => isRecord(step) && step.type === 'TemplateProcessing')
  const single = isRecord(template) && Array.isArray(template.single) ? template.single : []
  const special = (part: unknown) => isRecord(part) && isRecord(part.SpecialToken)
  return {
    bos: typeof bos === 'boolean' ? bos : special(single[0]),
    eos: typeof eos === 'boolean' ? eos : single.length > 1 && special(single.at(-1)),
  }
}

/** BOS and the tokens that end a generation, as the engine reads them back. */
function endTokens(config: ModelConfig): [string, GgufValue][] {
  const entries: [string, GgufValue][] = []
  if (config.bosToken !== null) entries.push(['tokenizer.ggml.bos_token_id', uint32(config.bosToken)])
  const [eos, eot] = config.eosTokens
  if (eos !== undefined) entries.push(['tokenizer.ggml.eos_token_id', uint32(eos)])
  if (eot !== undefined) entries.push(['tokenizer.ggml.eot_token_id', uint32(eot)])
  entries.push([eosTokensKey, array('uint32', config.eosTokens)])
  return entries
}

async function chatTemplates(folder: string, settings: Json): Promise<[string, GgufValue][]> {
  const templates = new Map<string, string>()
  const given = settings.chat_template
  if (typeof given === 'string') templates.set('default', given)
  for (const entry of Array.isArray(given) ? given : []) {
    if (isRecord(entry) && typeof entry.name === 'string' && typeof entry.template === 'string') {
      templates.set(entry.name, entry.template)
    }
  }
  const beside = await readFile(join(folder, 'chat_template.jinja'), 'utf8').catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null
      throw error
    },
  )
  if (beside !== null && !templates.has('default')) templates.set('default', beside)
  return [...templates].map(([name, template]) => [
    name === 'default' ? 'tokenizer.chat_template' : `tokenizer.chat_template.${name}`,
    string(template),
  ])
}
