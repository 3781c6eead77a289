import { ModelFileError } from '../weights/errors.ts'
import { type AddedToken, AddedTokenSplitter } from './added-tokens.ts'
import { bytesOfAlphabet, byteToCharacter } from './byte-alphabet.ts'
import { BytePairEncoder } from './byte-pair-encoder.ts'
import type { TokenizerDefinition } from './definition.ts'
import { TextTooLongError } from './errors.ts'
import { MergeTable } from './merge-table.ts'
import { createTextPipeline, type TextPipeline } from './text-pipeline.ts'
import { TokenBuffer } from './token-buffer.ts'
import {
  type BpeModel,
  type DecoderRules,
  readAddedTokens,
  readBpeModel,
  readDecoder,
} from './tokenizer-json.ts'

export interface EncodeOptions {
  /** Put BOS and EOS around the text where the model wants them. Default false. */
  readonly addSpecial?: boolean
  /**
   * Read the texts of control tokens (`<|im_start|>`, …) as those tokens. Only for text a chat template wrote; in a
   * user's plain prompt they stay the characters they are. Default false.
   */
  readonly parseSpecial?: boolean
}

export interface DecodeOptions {
  /** Leave control tokens out. Default false. */
  readonly skipSpecial?: boolean
}

/** Longest text that is encoded, in UTF-16 code units. */
export const MAX_TEXT_LENGTH = 8 * 1024 * 1024

const noBytes = new Uint8Array(0)
const utf8 = new TextEncoder()

/**
 * Text to token ids and back, for byte-level and SentencePiece-style BPE vocabularies.
 *
 * Decoding is by bytes: invalid UTF-8 becomes U+FFFD by the rules of the web's `TextDecoder`, and no spaces are
 * "cleaned up" around punctuation, so that a text decoded token by token equals the text decoded at once.
 */
export class Tokenizer {
  /** One more than the largest id; the model's embedding may have more rows. */
  readonly vocabSize: number
  readonly bosToken: number | null
  readonly eosToken: number | null
  /** Tokens that end a generation. */
  readonly stopTokens: readonly number[]
  /** Bytes of the longest token: a text of n bytes has at least n divided by this many tokens. */
  readonly longestTokenBytes: number
  /** Whether a decoded text loses one space at its start. */
  readonly stripsLeadingSpace: boolean

  readonly #texts: (string | undefined)[] = []
  readonly #bytes: (Uint8Array | undefined)[] = []
  readonly #special = new Set<number>()
  readonly #added = new Set<number>()
  readonly #decoder: DecoderRules
  readonly #pipeline: TextPipeline
  readonly #encoder: BytePairEncoder
  readonly #before: readonly number[]
  readonly #behind: readonly number[]
  /** Splitters of the given and of the normalised text, each with all added tokens and without special ones. */
  readonly #givenAll: AddedTokenSplitter
  readonly #givenPlain: AddedTokenSplitter
  readonly #normalizedAll: AddedTokenSplitter
  readonly #normalizedPlain: AddedTokenSplitter

  /** @throws UnsupportedModelError or ModelFileError that names the origin and the reason */
  constructor(definition: TokenizerDefinition) {
    const { origin, json } = definition
    const model = readBpeModel(origin, json)
    const added = readAddedTokens(origin, json)
    this.#decoder = readDecoder(origin, json)
    this.#pipeline = createTextPipeline(origin, json)
    this.stripsLeadingSpace = this.#decoder.stripsLeadingSpace
    for (const [text, id] of model.vocabulary) this.#texts[id] = text
    for (const { id, content, special } of added) {
      this.#texts[id] = content
      this.#added.add(id)
      if (special) this.#special.add(id)
    }
    this.vocabSize = this.#texts.length
    this.longestTokenBytes = this.#readAllBytes()
    this.#encoder = createEncoder(origin, model, this.#special, this.#pipeline.rawWords)
    const ids = new Map(model.vocabulary)
    for (const { id, content } of added) ids.set(content, id)
    const idOf = (text: string): number => {
      const id = ids.get(text)
      if (id === undefined)
        throw new ModelFileError(origin, `has no token ${JSON.stringify(text)}, but names it`)
      return id
    }
    this.bosToken = definition.bosToken === null ? null : idOf(definition.bosToken)
    this.eosToken = definition.eosToken === null ? null : idOf(definition.eosToken)
    this.stopTokens = [...new Set(definition.stopTokens)]
    this.#before = withToken(this.#pipeline.before.map(idOf), this.bosToken, definition.addBos, 'first')
    this.#behind = withToken(this.#pipeline.behind.map(idOf), this.eosToken, definition.addEos, 'last')

    const given = added.filter((token) => !token.normalized)
    const normalized = added.filter((token) => token.normalized)
    const isPlain = (token: AddedToken) => !token.special
    const contentOf = (token: AddedToken) => token.content
    const normalizedOf = (token: AddedToken) => this.#pipeline.normalize(token.content)
    this.#givenAll = new AddedTokenSplitter(given, contentOf)
    this.#givenPlain = new AddedTokenSplitter(given.filter(isPlain), contentOf)
    this.#normalizedAll = new AddedTokenSplitter(normalized, normalizedOf)
    this.#normalizedPlain = new AddedTokenSplitter(normalized.filter(isPlain), normalizedOf)
  }

  /** @throws TextTooLongError beyond {@link MAX_TEXT_LENGTH} */
  encode(text: string, options: EncodeOptions = {}): Int32Array {
    if (text.length > MAX_TEXT_LENGTH) throw new TextTooLongError(text.length, MAX_TEXT_LENGTH)
    const { addSpecial = false, parseSpecial = false } = options
    const out = new TokenBuffer()
    if (addSpecial) out.pushAll(this.#before)
    const given = parseSpecial ? this.#givenAll : this.#givenPlain
    const normalized = parseSpecial ? this.#normalizedAll : this.#normalizedPlain
    let isFirst = true
    for (const section of given.split(text)) {
      if (section.token) out.push(section.token.id)
      else {
        for (const part of normalized.split(this.#pipeline.normalize(section.text))) {
          if (part.token) out.push(part.token.id)
          else this.#encodeWords(part.text, isFirst, out)
          isFirst = false
        }
      }
      isFirst = false
    }
    if (addSpecial) out.pushAll(this.#behind)
    return out.slice()
  }

  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const pieces: Uint8Array[] = []
    for (const id of ids) {
      if (!(options.skipSpecial && this.isSpecial(id))) pieces.push(this.tokenBytes(id))
    }
    const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(concatenate(pieces))
    return this.stripsLeadingSpace && text.startsWith(' ') ? text.slice(1) : text
  }

  /**
   * What a token writes; no bytes for an id the vocabulary leaves out, such as padding of the embedding.
   * The array is shared: do not change it.
   */
  tokenBytes(id: number): Uint8Array {
    if (!Number.isInteger(id) || id < 0) throw new RangeError(`${id} is not a token id.`)
    return this.#bytes[id] ?? noBytes
  }

  /** Text of a token as its vocabulary writes it; `null` for an id left out. */
  tokenText(id: number): string | null {
    return this.#texts[id] ?? null
  }

  isSpecial(id: number): boolean {
    return this.#special.has(id)
  }

  #encodeWords(text: string, isFirst: boolean, out: TokenBuffer): void {
    for (const word of this.#pipeline.words(text, isFirst)) this.#encoder.encodeWord(word, out)
  }

  #readAllBytes(): number {
    let longest = 1
    for (const [id, text] of this.#texts.entries()) {
      if (text === undefined) continue
      const bytes = this.#added.has(id) ? utf8.encode(text) : bytesOfToken(text, this.#decoder)
      this.#bytes[id] = bytes
      longest = Math.max(longest, bytes.length)
    }
    return longest
  }
}

const bytePiece = /^<0x([0-9A-Fa-f]{2})>$/

function bytesOfToken(text: string, { alphabet }: DecoderRules): Uint8Array {
  if (alphabet === 'bytes') return bytesOfAlphabet(text) ?? utf8.encode(text)
  const byte = bytePiece.exec(text)
  return byte ? Uint8Array.of(Number.parseInt(byte[1]!, 16)) : utf8.encode(text.replaceAll('▁', ' '))
}

function createEncoder(
  origin: string,
  model: BpeModel,
  special: ReadonlySet<number>,
  rawWords: boolean,
): BytePairEncoder {
  const { vocabulary, unknownToken } = model
  // Control tokens must not come out of text, however it is spelled.
  const ordinary = new Map([...vocabulary].filter(([, id]) => !special.has(id)))
  const rules = {
    characters: rawWords ? null : characterTokens(ordinary),
    bytes: rawWords ? alphabetTokens(ordinary) : model.byteFallback ? byteTokens(vocabulary) : null,
    unknown: unknownToken === null ? null : (vocabulary.get(unknownToken) ?? null),
    fuseUnknown: model.fuseUnknown,
    wholeWords: model.ignoreMerges ? (rawWords ? decodedTokens(ordinary) : ordinary) : null,
  }
  return new BytePairEncoder(rules, createMerges(origin, model, special))
}

function characterTokens(vocabulary: ReadonlyMap<string, number>): Map<number, number> {
  const characters = new Map<number, number>()
  for (const [text, id] of vocabulary) {
    const codePoint = text.codePointAt(0)
    if (codePoint !== undefined && text.length === (codePoint > 0xffff ? 2 : 1)) characters.set(codePoint, id)
  }
  return characters
}

/** Tokens of all bytes as the byte alphabet writes them. */
function alphabetTokens(vocabulary: ReadonlyMap<string, number>): Int32Array {
  return Int32Array.from(byteToCharacter, (character) => vocabulary.get(character) ?? -1)
}

/** Tokens by the text they write, as far as they write whole characters. */
function decodedTokens(vocabulary: ReadonlyMap<string, number>): Map<string, number> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const decoded = new Map<string, number>()
  for (const [text, id] of vocabulary) {
    try {
      decoded.set(decoder.decode(bytesOfAlphabet(text) ?? utf8.encode(text)), id)
    } catch {
      // Part of a character, which no word can be.
    }
  }
  return decoded
}

/** Tokens of all bytes; `null` if the vocabulary lacks one. */
function byteTokens(vocabulary: ReadonlyMap<string, number>): Int32Array | null {
  const tokens = Array.from({ length: 256 }, (_, byte) =>
    vocabulary.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  )
  return tokens.every((token) => token !== undefined) ? Int32Array.from(tokens) : null
}

function createMerges(
  origin: string,
  { vocabulary, merges }: BpeModel,
  special: ReadonlySet<number>,
): MergeTable {
  const table = new MergeTable(merges.length)
  for (const [rank, [left, right]] of merges.entries()) {
    const ids = [left, right, left + right].map((text) => vocabulary.get(text))
    const [leftId, rightId, result] = ids
    if (leftId === undefined || rightId === undefined || result === undefined) {
      const missing = [left, right, left + right][ids.indexOf(undefined)]
      throw new ModelFileError(
        origin,
        `has a tokenizer merge ${rank} of ${JSON.stringify(missing)}, no token`,
      )
    }
    if (!special.has(result)) table.add(leftId, rightId, rank, result)
  }
  return table
}

/** Adds or removes a token at an end, unless that is left to what is there already. */
function withToken(
  around: readonly number[],
  token: number | null,
  wanted: boolean | null,
  end: 'first' | 'last',
): readonly number[] {
  if (token === null || wanted === null || wanted === around.includes(token)) return around
  if (!wanted) return around.filter((id) => id !== token)
  return end === 'first' ? [token, ...around] : [...around, token]
}

function concatenate(pieces: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    all.set(piece, at)
    at += piece.length
  }
  return all
}
