import { deepseekV2Splits, deepseekV3Splits } from '../tokenizer/deepseek-splits.ts'

/** Pairs of byte-level pieces in the order in which they are merged: frequent English letters. */
const merges = (
  't h|Ġ t|Ġ a|h e|i n|r e|o n|Ġt he|e r|Ġ s|a t|Ġ w|o u|Ġ c|n d|e n|Ġ b|e s|o r|Ġ f|i s|i t|a n|Ġ p|Ġ o|Ġo f|in g|' +
  'e d|a l|Ġ m|Ġa nd|a r|Ġt o|Ġ d|l l|Ġ h|i c|l e|o m|Ġ in|Ġ n|Ġb e|r o|Ġw h|i on|s t|e t|v e|u t|Ġ l|Ġ g'
)
  .split('|')
  .map((pair) => pair.split(' ') as [string, string])

export const specialTokens = ['<|begin|>', '<|end|>', '<|turn|>'] as const
/** Tokens the tiny tokenizer has; a model's vocabulary may be larger, never smaller. */
export const tinyTokenizerSize = specialTokens.length + 256 + merges.length

/** How text is split before merging; each is one that llama.cpp knows under the name in `tokenizer.ggml.pre`. */
export type PreTokenizer = 'gpt-2' | 'llama-bpe' | 'qwen2' | 'deepseek-llm' | 'deepseek-v3'

const patterns: Readonly<Record<Exclude<PreTokenizer, 'gpt-2'>, readonly string[]>> = {
  'llama-bpe': [
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  ],
  qwen2: [
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  ],
  'deepseek-llm': deepseekV2Splits,
  'deepseek-v3': deepseekV3Splits,
}

/** A small but real byte-level BPE `tokenizer.json`: three special tokens, 256 bytes, some merges. */
export function tinyTokenizer(preTokenizer: PreTokenizer): Record<string, unknown> {
  const pieces = [...byteAlphabet(), ...merges.map(([left, right]) => left + right)]
  const vocab = Object.fromEntries([...specialTokens, ...pieces].map((text, id) => [text, id]))
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true }
  const begin = { id: specialTokens[0], ids: [0], tokens: [specialTokens[0]] }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer:
      preTokenizer === 'gpt-2'
        ? { ...byteLevel, use_regex: true }
        : {
            type: 'Sequence',
            pretokenizers: [
              ...patterns[preTokenizer].map((Regex) => ({
                type: 'Split',
                pattern: { Regex },
                behavior: 'Isolated',
                invert: false,
              })),
              ...(preTokenizer === 'deepseek-llm' ? [{ type: 'Digits', individual_digits: true }] : []),
              { ...byteLevel, use_regex: false },
            ],
          },
    post_processor:
      preTokenizer === 'qwen2'
        ? null
        : {
            type: 'TemplateProcessing',
            single: [
              { SpecialToken: { id: specialTokens[0], type_id: 0 } },
              { Sequence: { id: 'A', type_id: 0 } },
            ],
            pair: [
              { SpecialToken: { id: specialTokens[0], type_id: 0 } },
              { Sequence: { id: 'A', type_id: 0 } },
              { Sequence: { id: 'B', type_id: 1 } },
            ],
            special_tokens: { [specialTokens[0]]: begin },
          },
    decoder: { ...byteLevel, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: preTokenizer === 'llama-bpe',
      vocab,
      merges: merges.map((pair) => pair.join(' ')),
    },
  }
}

/** The matching `tokenizer_config.json`. */
export const tinyTokenizerConfig: Record<string, unknown> = {
  tokenizer_class: 'PreTrainedTokenizerFast',
  bos_token: specialTokens[0],
  eos_token: specialTokens[1],
  clean_up_tokenization_spaces: false,
  chat_template:
    "{% for message in messages %}{{ '<|turn|>' + message['role'] + '\\n' + message['content'] + '<|end|>' }}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|turn|>assistant\\n' }}{% endif %}",
}

/** Byte-level BPE writes each byte as one printable character: printable Latin-1 as itself, the rest from U+0100 on. */
function byteAlphabet(): string[] {
  let next = 0x100
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad)
    if (printable) return String.fromCodePoint(byte)
    next += 1
    return String.fromCodePoint(next - 1)
  })
}
