import { deepseekV2Splits, deepseekV3Splits } from '../tokenizer/deepseek-splits.ts'
import { isRecord } from './fields.ts'

/** Pieces of the regular expressions by which tokenizers of a kind split text, as their files spell them. */
const words = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
const rest = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]'
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'
/** @param suffix - what else belongs to a word */
const cased = (suffix: string) =>
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+${suffix}|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*${suffix}`
const casedRest = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'

const llama3 = `${words}|\\p{N}{1,3}|${rest}`
const qwen2 = `${words}|\\p{N}|${rest}`
const tekken = `${cased('')}|\\p{N}|${casedRest}`
const gpt4o = `${cased("(?i:'s|'t|'re|'ve|'m|'ll|'d)?")}|\\p{N}{1,3}|${casedRest}`

/**
 * llama.cpp's name (`tokenizer.ggml.pre`) for how a byte-level BPE tokenizer splits text before merging.
 *
 * @param tokenizer - `tokenizer.json`
 * @returns `null` if llama.cpp has no such splitting: its `default` then cuts some texts differently
 */
export function preTokenizerName(tokenizer: Record<string, unknown>): string | null {
  const steps = flatten(tokenizer.pre_tokenizer)
  const model = isRecord(tokenizer.model) ? tokenizer.model : {}
  const patterns = steps.filter(({ type }) => type === 'Split').map(splitPattern)
  const digits = steps.some(({ type, individual_digits: each }) => type === 'Digits' && each === true)
  const byteLevel = steps.find(({ type }) => type === 'ByteLevel')
  const usesRegex = byteLevel !== undefined && byteLevel.use_regex !== false
  const known = ['Split', 'Digits', 'ByteLevel']
  if (!byteLevel || steps.some(({ type }) => !known.includes(String(type)))) return null
  if (patterns.length === 0 && usesRegex) return digits ? 'smollm' : 'gpt-2'
  if (usesRegex) return null
  if (patterns.length > 1) return deepseekName(patterns, digits)
  if (patterns.length !== 1 || digits) return null
  switch (patterns[0]) {
    case llama3:
      // The same expression twice in llama.cpp; only the first also takes whole words from the vocabulary.
      return model.ignore_merges === true ? 'llama-bpe' : 'dbrx'
    case qwen2:
      return 'qwen2'
    case gpt4o:
      return 'gpt-4o'
    case tekken:
      return model.ignore_merges === true ? 'tekken' : null
    default:
      return null
  }
}

function deepseekName(patterns: readonly (string | null)[], digits: boolean): string | null {
  const spelt = patterns.map((pattern) => pattern?.replaceAll('\r', '\\r').replaceAll('\n', '\\n')).join()
  if (spelt === deepseekV3Splits.join() && !digits) return 'deepseek-v3'
  return spelt === deepseekV2Splits.join() && digits ? 'deepseek-llm' : null
}

function flatten(step: unknown): Record<string, unknown>[] {
  if (!isRecord(step)) return []
  return step.type === 'Sequence' && Array.isArray(step.pretokenizers)
    ? step.pretokenizers.flatMap(flatten)
    : [step]
}

function splitPattern({ pattern }: Record<string, unknown>): string | null {
  return isRecord(pattern) && typeof pattern.Regex === 'string' ? pattern.Regex : null
}
