import { ModelFileError, UnsupportedModelError } from '../weights/errors.ts'
import { isRecord } from '../weights/fields.ts'
import type { AddedToken } from './added-tokens.ts'

/** The BPE model of a `tokenizer.json`, checked. */
export interface BpeModel {
  readonly vocabulary: ReadonlyMap<string, number>
  readonly merges: readonly (readonly [left: string, right: string])[]
  readonly byteFallback: boolean
  readonly ignoreMerges: boolean
  readonly unknownToken: string | null
  readonly fuseUnknown: boolean
}

/** How token texts turn back into bytes. */
export interface DecoderRules {
  /** `bytes`: characters stand for bytes; `pieces`: `▁` for a space, `<0xNN>` for a byte. */
  readonly alphabet: 'bytes' | 'pieces'
  /** Whether one space at the start of a text is dropped, having been added by encoding. */
  readonly stripsLeadingSpace: boolean
}

/** @throws UnsupportedModelError if it is not BPE, ModelFileError if it is damaged */
export function readBpeModel(origin: string, json: Readonly<Record<string, unknown>>): BpeModel {
  const model = isRecord(json.model) ? json.model : {}
  if (model.type !== undefined && model.type !== 'BPE') {
    throw new UnsupportedModelError(
      origin,
      `has a tokenizer of type ${JSON.stringify(model.type)}`,
      'Only BPE tokenizers are supported; most language models have one.',
    )
  }
  for (const affix of ['continuing_subword_prefix', 'end_of_word_suffix']) {
    if (typeof model[affix] === 'string' && model[affix] !== '') {
      throw new UnsupportedModelError(
        origin,
        `has a BPE tokenizer with ${affix} ${JSON.stringify(model[affix])}`,
        'Only byte-level and SentencePiece-style BPE tokenizers are supported.',
      )
    }
  }
  const unknownToken = typeof model.unk_token === 'string' ? model.unk_token : null
  return {
    vocabulary: readVocabulary(origin, model.vocab),
    merges: readMerges(origin, model.merges),
    byteFallback: model.byte_fallback === true,
    ignoreMerges: model.ignore_merges === true,
    unknownToken,
    fuseUnknown: model.fuse_unk === true,
  }
}

/** Ids larger than this are damage, not vocabulary. */
const MAX_ID = 10_000_000

function readVocabulary(origin: string, vocab: unknown): Map<string, number> {
  if (!isRecord(vocab)) throw new ModelFileError(origin, 'has no tokenizer vocabulary (model.vocab)')
  const entries = new Map<string, number>()
  for (const [text, id] of Object.entries(vocab)) {
    if (!isTokenId(id)) {
      throw new ModelFileError(origin, `gives the token ${JSON.stringify(text)} the id ${JSON.stringify(id)}`)
    }
    entries.set(text, id)
  }
  return entries
}

const isTokenId = (id: unknown): id is number =>
  typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < MAX_ID

function readMerges(origin: string, merges: unknown): (readonly [string, string])[] {
  if (!Array.isArray(merges)) throw new ModelFileError(origin, 'has no tokenizer merges (model.merges)')
  return merges.map((merge: unknown, index) => {
    const pair = typeof merge === 'string' ? splitMerge(merge) : merge
    if (
      Array.isArray(pair) &&
      pair.length === 2 &&
      typeof pair[0] === 'string' &&
      typeof pair[1] === 'string'
    ) {
      return [pair[0], pair[1]]
    }
    throw new ModelFileError(origin, `has a tokenizer merge ${index} that is not a pair of texts`)
  })
}

/** Older files write a pair as one text with a space between; neither part starts with one. */
function splitMerge(merge: string): string[] {
  const at = merge.indexOf(' ', 1)
  return at < 0 ? [merge] : [merge.slice(0, at), merge.slice(at + 1)]
}

export function readAddedTokens(origin: string, json: Readonly<Record<string, unknown>>): AddedToken[] {
  const list: unknown[] = Array.isArray(json.added_tokens) ? json.added_tokens : []
  return list.map((token, index) => {
    if (!isRecord(token) || !isTokenId(token.id) || typeof token.content !== 'string') {
      throw new ModelFileError(origin, `has an added token ${index} without an id and a text`)
    }
    const special = token.special === true
    return {
      id: token.id,
      content: token.content,
      special,
      singleWord: token.single_word === true,
      leftStrip: token.lstrip === true,
      rightStrip: token.rstrip === true,
      normalized: typeof token.normalized === 'boolean' ? token.normalized : !special,
    }
  })
}

/** @throws UnsupportedModelError if token texts are written in neither of the two known ways */
export function readDecoder(origin: string, json: Readonly<Record<string, unknown>>): DecoderRules {
  const steps = decoderSteps(json.decoder)
  const names = steps.map((step) => step.type)
  if (names.includes('ByteLevel')) return { alphabet: 'bytes', stripsLeadingSpace: false }
  const metaspace = steps.find((step) => step.type === 'Metaspace')
  const replacesSpace = steps.some((step) => step.type === 'Replace' && step.content === ' ')
  if (metaspace !== undefined || replacesSpace) {
    const strips = metaspace ? metaspace.prepend_scheme !== 'never' : names.includes('Strip')
    return { alphabet: 'pieces', stripsLeadingSpace: strips }
  }
  throw new UnsupportedModelError(
    origin,
    `has a tokenizer with the decoder ${JSON.stringify(names.length > 0 ? names.join(', ') : null)}`,
    'Only byte-level and SentencePiece-style BPE tokenizers are supported.',
  )
}

function decoderSteps(decoder: unknown): Record<string, unknown>[] {
  if (!isRecord(decoder)) return []
  return decoder.type === 'Sequence' && Array.isArray(decoder.decoders)
    ? decoder.decoders.flatMap(decoderSteps)
    : [decoder]
}
