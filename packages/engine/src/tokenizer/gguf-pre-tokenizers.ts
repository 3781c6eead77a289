import { UnsupportedModelError } from '../weights/errors.ts'
import { deepseekV2Splits, deepseekV3Splits } from './deepseek-splits.ts'

/** Steps of `tokenizer.json` that a GGUF file states by one name, `tokenizer.ggml.pre`. */
export interface PreTokenizer {
  readonly normalizer: object | null
  readonly preTokenizer: object
  readonly ignoreMerges: boolean
  /** Whether BOS is put first unless the file says otherwise. */
  readonly addBos: boolean
}

const words = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
const rest = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]'
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'
/** Words cut where a capital follows small letters. @param suffix - what else belongs to a word */
const cased = (suffix: string) =>
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+${suffix}|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*${suffix}`
const casedRest = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'

const gpt4o = splits(`${cased("(?i:'s|'t|'re|'ve|'m|'ll|'d)?")}|\\p{N}{1,3}|${casedRest}`)

const llama3: PreTokenizer = {
  normalizer: null,
  preTokenizer: splits(`${words}|\\p{N}{1,3}|${rest}`),
  ignoreMerges: true,
  addBos: true,
}

const qwen2: PreTokenizer = {
  // The Hugging Face tokenizer composes characters first; GGUF does not say so, but the model was trained on it.
  normalizer: { type: 'NFC' },
  preTokenizer: splits(`${words}|\\p{N}|${rest}`),
  ignoreMerges: false,
  addBos: false,
}

const known = new Map<string, PreTokenizer>([
  // What llama.cpp does with a file that does not say how it splits; not what any one model was trained with.
  ['default', plain(splits('[\\p{P}\\$\\+<=>\\^~\\|]+', gpt2, '\\p{N}+', '[0-9][0-9][0-9]'))],
  ['gpt-2', plain(splits(gpt2))],
  ['smollm', plain(splits('\\p{N}', gpt2))],
  ['dbrx', plain(llama3.preTokenizer)],
  ['llama-bpe', llama3],
  ['llama3', llama3],
  ['llama-v3', llama3],
  ['qwen2', qwen2],
  ['deepseek-r1-qwen', qwen2],
  ['gpt-4o', plain(gpt4o)],
  ['llama4', plain(gpt4o)],
  [
    'tekken',
    {
      normalizer: null,
      preTokenizer: splits(`${cased('')}|\\p{N}|${casedRest}`),
      ignoreMerges: true,
      addBos: true,
    },
  ],
  ['deepseek-llm', plain(splits(...deepseekV2Splits, '\\p{N}'))],
  ['deepseek-v3', plain(splits(...deepseekV3Splits))],
])

/** @throws UnsupportedModelError that names a way of splitting there is no entry for */
export function preTokenizerNamed(origin: string, name: string): PreTokenizer {
  const found = known.get(name)
  if (found) return found
  throw new UnsupportedModelError(
    origin,
    `splits text by the pre-tokenizer "${name}" (tokenizer.ggml.pre)`,
    `Supported are ${[...known.keys()].join(', ')}; any other works from its Hugging Face folder.`,
  )
}

function plain(preTokenizer: object): PreTokenizer {
  return { normalizer: null, preTokenizer, ignoreMerges: false, addBos: false }
}

/** Cuts by each expression in turn, then writes the pieces in the byte alphabet. */
function splits(...patterns: readonly string[]): object {
  const steps = patterns.map((Regex) => ({
    type: 'Split',
    pattern: { Regex },
    behavior: 'Isolated',
    invert: false,
  }))
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }
  return { type: 'Sequence', pretokenizers: [...steps, byteLevel] }
}
