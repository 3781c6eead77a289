/** Tokenizers for tests: the embedded model's, and small ones whose every merge can be followed by hand. */
import { fileURLToPath } from 'node:url'
import { byteToCharacter } from './byte-alphabet.ts'
import type { TokenizerDefinition } from './definition.ts'
import { loadTokenizer, type TokenizerSource } from './load.ts'
import type { Tokenizer } from './tokenizer.ts'

export const embeddedModel = fileURLToPath(new URL('../../../../models/deos-7m', import.meta.url))

export const embeddedSource: TokenizerSource = {
  path: embeddedModel,
  format: 'huggingface',
  metadata: new Map(),
  config: { eosTokens: [0] },
}

export const embeddedTokenizer = (): Promise<Tokenizer> => loadTokenizer(embeddedSource)

/** Byte-level BPE: ids 0–255 are the bytes, then the merges in order, then the added tokens. */
export function byteLevelDefinition(
  merges: readonly (readonly [string, string])[],
  added: readonly Record<string, unknown>[] = [],
  changes: Record<string, unknown> = {},
): TokenizerDefinition {
  const texts = [...byteToCharacter, ...merges.map(([left, right]) => left + right)]
  const json = {
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    added_tokens: added.map((token, index) => ({ id: texts.length + index, special: true, ...token })),
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(texts.map((text, id) => [text, id])),
      merges: merges.map((pair) => [...pair]),
      ...changes,
    },
  }
  return definitionOf(json)
}

export function definitionOf(json: Record<string, unknown>): TokenizerDefinition {
  return {
    origin: 'test/tokenizer.json',
    json,
    bosToken: null,
    eosToken: null,
    addBos: null,
    addEos: null,
    stopTokens: [],
    chatTemplate: null,
    toolChatTemplate: null,
  }
}

/** GGUF metadata of a SentencePiece vocabulary: `<unk>`, `<s>`, `</s>`, 256 bytes, then the pieces, best first. */
export function sentencePieceMetadata(pieces: readonly string[]): Map<string, unknown> {
  const byteTexts = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  )
  const tokens = ['<unk>', '<s>', '</s>', ...byteTexts, ...pieces]
  return new Map<string, unknown>([
    ['tokenizer.ggml.model', 'llama'],
    ['tokenizer.ggml.tokens', tokens],
    ['tokenizer.ggml.scores', tokens.map((_, id) => -id)],
    ['tokenizer.ggml.token_type', tokens.map((_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1))],
    ['tokenizer.ggml.unknown_token_id', 0],
    ['tokenizer.ggml.bos_token_id', 1],
    ['tokenizer.ggml.eos_token_id', 2],
  ])
}

export const ggufSource = (metadata: ReadonlyMap<string, unknown>): TokenizerSource => ({
  path: 'test.gguf',
  format: 'gguf',
  metadata,
  config: { eosTokens: [] },
})

/** First piece of a SentencePiece vocabulary. */
export const FIRST_PIECE = 259
