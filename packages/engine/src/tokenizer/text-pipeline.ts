import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import { UnsupportedModelError } from '../weights/errors.ts'
import { isRecord } from '../weights/fields.ts'

/** What happens to text around byte-pair encoding, by the steps a `tokenizer.json` names. */
export interface TextPipeline {
  normalize(text: string): string
  /** Cuts text into the words that are encoded one by one: as they stand if `rawWords`, else in the byte alphabet. */
  words(text: string, isFirst: boolean): readonly string[]
  readonly rawWords: boolean
  /** Texts of the tokens put before and behind a whole encoded text. */
  readonly before: readonly string[]
  readonly behind: readonly string[]
}

/** Stands for the encoded text while learning what is put around it; no token is spelled so. */
const BODY = '\u0000body'

/**
 * Normaliser, splitter and post-processor come from Hugging Face's library; its model is left empty, merging is ours.
 *
 * @throws UnsupportedModelError if the file names a step the library does not know
 */
export function createTextPipeline(origin: string, json: Readonly<Record<string, unknown>>): TextPipeline {
  const byteLevel = withoutByteLevel(json.pre_tokenizer)
  const parts = createParts(origin, byteLevel === null ? json : { ...json, pre_tokenizer: byteLevel.steps })
  const around: readonly string[] = parts.post_processor?.([BODY], null, true).tokens ?? [BODY]
  const at = around.indexOf(BODY)
  return {
    normalize: (text) => parts.normalizer?.(text) ?? text,
    words: (text, isFirst) => parts.pre_tokenizer?.(text, { section_index: isFirst ? 0 : 1 }) ?? [text],
    rawWords: byteLevel !== null,
    before: around.slice(0, at),
    behind: around.slice(at + 1),
  }
}

/** GPT-2's expression, by which a ByteLevel step splits unless told not to. */
const GPT2_WORDS = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/**
 * Takes the final step that rewrites words in the byte alphabet off, for the encoder reads bytes itself and five times
 * faster.
 *
 * @returns the remaining steps, or `null` if there is no such step or it adds spaces
 */
function withoutByteLevel(preTokenizer: unknown): { readonly steps: object | null } | null {
  const steps = flatSteps(preTokenizer)
  const last = steps.at(-1)
  if (last?.type !== 'ByteLevel' || last.add_prefix_space === true) return null
  const earlier = steps.slice(0, -1)
  if (earlier.some((step) => step.type === 'ByteLevel')) return null
  const split = { type: 'Split', pattern: { Regex: GPT2_WORDS }, behavior: 'Isolated', invert: false }
  const pretokenizers = last.use_regex === false ? earlier : [...earlier, split]
  return { steps: pretokenizers.length === 0 ? null : { type: 'Sequence', pretokenizers } }
}

function flatSteps(step: unknown): Record<string, unknown>[] {
  if (!isRecord(step)) return []
  return step.type === 'Sequence' && Array.isArray(step.pretokenizers)
    ? step.pretokenizers.flatMap(flatSteps)
    : [step]
}

function createParts(origin: string, json: Readonly<Record<string, unknown>>): HuggingFaceTokenizer {
  const parts = {
    normalizer: json.normalizer ?? null,
    pre_tokenizer: json.pre_tokenizer ?? null,
    post_processor: json.post_processor ?? null,
    decoder: null,
    added_tokens: [],
    model: { type: 'BPE', vocab: {}, merges: [] },
  }
  try {
    return new HuggingFaceTokenizer(parts, {})
  } catch (cause) {
    throw new UnsupportedModelError(
      origin,
      `has a tokenizer this version cannot build: ${cause instanceof Error ? cause.message : cause}`,
      'Use a tokenizer.json written by a released version of Hugging Face tokenizers.',
    )
  }
}
