import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Tokenizer } from '@huggingface/tokenizers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LlamaCppModel, llamaCppAvailability } from '../testing/llama-cpp/index.ts'
import { type TinyFamily, tinyConfig, writeTinyModel } from '../testing/tiny-models.ts'
import { type PreTokenizer, tinyTokenizer } from '../testing/tiny-tokenizer.ts'
import { convertModel } from './convert-model.ts'
import { openModel } from './open-model.ts'
import { preTokenizerName } from './pre-tokenizer.ts'
import { tokenizerMetadata } from './tokenizer-metadata.ts'

const config = tinyConfig('llama')
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'deos-tokenizer-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function convert(tokenizer: unknown, settings: unknown = {}) {
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer))
  await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(settings))
  const { entries, notes } = await tokenizerMetadata(folder, config)
  return { notes, get: (key: string) => new Map(entries).get(key)?.value }
}

/** Like Llama 2's: bytes as `<0x..>`, spaces as `▁`, merges ranked by their order. */
function sentencePieceTokenizer() {
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  )
  const characters = [...'▁abcdefghilmnorstuw,.']
  // Every way to cut a piece in two is a merge, as in files made from SentencePiece models.
  const merges = [
    't h',
    'th e',
    '▁ the',
    '▁ a',
    'a n',
    '▁a n',
    '▁ an',
    '▁an d',
    'o r',
    'l d',
    'w or',
    '▁ w',
    '▁w or',
    '▁ wor',
  ]
  const pieces = [
    '<unk>',
    '<s>',
    '</s>',
    ...bytes,
    ...characters,
    ...merges.map((merge) => merge.replace(' ', '')),
  ]
  const special = (content: string, id: number) => ({ id, content, special: true, normalized: false })
  return {
    added_tokens: ['<unk>', '<s>', '</s>'].map(special),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<unk>',
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries([...new Set(pieces)].map((piece, id) => [piece, id])),
      merges,
    },
  }
}

describe('byte-level BPE', () => {
  test('lists one token per row of the embedding, unused ones included', async () => {
    const { get, notes } = await convert(tinyTokenizer('llama-bpe'), {
      bos_token: '<|begin|>',
      pad_token: '<|turn|>',
    })
    const tokens = get('tokenizer.ggml.tokens') as string[]
    const types = get('tokenizer.ggml.token_type') as number[]
    expect([tokens.length, types.length]).toEqual([320, 320])
    expect([tokens[0], types[0]]).toEqual(['<|begin|>', 3])
    // Byte 0x61 behind three special tokens.
    expect([tokens[100], types[100]]).toEqual(['a', 1])
    expect([tokens[319], types[319]]).toEqual(['[PAD319]', 5])
    expect(get('tokenizer.ggml.model')).toBe('gpt2')
    expect(get('tokenizer.ggml.pre')).toBe('llama-bpe')
    expect((get('tokenizer.ggml.merges') as string[])[0]).toBe('t h')
    expect(get('tokenizer.ggml.bos_token_id')).toBe(0)
    expect(get('tokenizer.ggml.eos_token_id')).toBe(1)
    expect(get('tokenizer.ggml.padding_token_id')).toBe(2)
    expect(get('tokenizer.ggml.add_bos_token')).toBe(true)
    expect(JSON.parse(get('tokenizer.huggingface.json') as string)).toEqual(tinyTokenizer('llama-bpe'))
    expect(notes).toEqual([])
  })

  test('add_bos_token in tokenizer_config.json decides over the template', async () => {
    const { get } = await convert(tinyTokenizer('llama-bpe'), { add_bos_token: false })
    expect(get('tokenizer.ggml.add_bos_token')).toBe(false)
  })

  test('merges may be pairs, and may hold spaces', async () => {
    const tokenizer = tinyTokenizer('gpt-2') as { model: { merges: unknown[] } }
    tokenizer.model.merges = [
      ['t', 'h'],
      [' ', 'a'],
    ]
    expect((await convert(tokenizer)).get('tokenizer.ggml.merges')).toEqual(['t h', 'Ġ a'])
  })

  test('an unknown way of splitting words is said', async () => {
    const tokenizer = { ...tinyTokenizer('gpt-2'), pre_tokenizer: { type: 'Whitespace' } }
    const { get, notes } = await convert(tokenizer)
    expect(get('tokenizer.ggml.pre')).toBe('default')
    expect(notes[0]).toMatch(/may cut some texts differently/)
  })

  const names = ['gpt-2', 'llama-bpe', 'qwen2', 'deepseek-llm', 'deepseek-v3'] as const
  test.each(names)('the splitting of %s is recognised', (name) => {
    expect(preTokenizerName(tinyTokenizer(name))).toBe(name)
  })

  test('Llama 3 splitting without whole-word lookup has another name', () => {
    const tokenizer = tinyTokenizer('llama-bpe') as { model: Record<string, unknown> }
    expect(preTokenizerName({ ...tokenizer, model: { ...tokenizer.model, ignore_merges: false } })).toBe(
      'dbrx',
    )
  })

  test("gpt-oss's and Phi-4-mini's splitting is that of GPT-4o", () => {
    const cased =
      "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" +
      "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    const Regex = `${cased}|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`
    const pretokenizers = [
      { type: 'Split', pattern: { Regex } },
      { type: 'ByteLevel', use_regex: false },
    ]
    expect(preTokenizerName({ pre_tokenizer: { type: 'Sequence', pretokenizers } })).toBe('gpt-4o')
  })

  test('digits one by one before GPT-2 splitting', () => {
    const pretokenizers = [
      { type: 'Digits', individual_digits: true },
      { type: 'ByteLevel', use_regex: true },
    ]
    expect(preTokenizerName({ pre_tokenizer: { type: 'Sequence', pretokenizers } })).toBe('smollm')
  })
})

describe('SentencePiece-style BPE', () => {
  test('becomes scores that rank as the merges do', async () => {
    const { get } = await convert(sentencePieceTokenizer())
    const tokens = get('tokenizer.ggml.tokens') as string[]
    const scores = get('tokenizer.ggml.scores') as number[]
    const types = get('tokenizer.ggml.token_type') as number[]
    const of = (list: readonly number[], text: string) => list[tokens.indexOf(text)]
    expect(get('tokenizer.ggml.model')).toBe('llama')
    expect([of(types, '<unk>'), of(types, '<s>'), of(types, '<0x0A>'), of(types, '▁the')]).toEqual([
      2, 3, 6, 1,
    ])
    expect([of(scores, 'th'), of(scores, 'the'), of(scores, '▁the')]).toEqual([-0, -1, -2])
    expect(get('tokenizer.ggml.add_space_prefix')).toBe(true)
    expect(get('tokenizer.ggml.add_bos_token')).toBe(true)
  })
})

describe('chat templates', () => {
  test('one, several, or in a file of their own', async () => {
    expect(
      (await convert(tinyTokenizer('gpt-2'), { chat_template: 'A' })).get('tokenizer.chat_template'),
    ).toBe('A')
    const several = await convert(tinyTokenizer('gpt-2'), {
      chat_template: [
        { name: 'default', template: 'B' },
        { name: 'tool_use', template: 'C' },
      ],
    })
    expect(several.get('tokenizer.chat_template')).toBe('B')
    expect(several.get('tokenizer.chat_template.tool_use')).toBe('C')
    await writeFile(join(folder, 'chat_template.jinja'), 'D')
    expect((await convert(tinyTokenizer('gpt-2'))).get('tokenizer.chat_template')).toBe('D')
    await rm(join(folder, 'chat_template.jinja'))
  })
})

describe('refuses', () => {
  const broken = (change: Record<string, unknown>) => {
    const tokenizer = tinyTokenizer('gpt-2') as { model: Record<string, unknown> }
    return { ...tokenizer, model: { ...tokenizer.model, ...change } }
  }
  test.each<[string, unknown, RegExp]>([
    ['another kind of tokenizer', broken({ type: 'Unigram' }), /tokenizer of type "Unigram"/],
    ['no vocabulary', broken({ vocab: null }), /has no model\.vocab/],
    ['no merges', broken({ merges: undefined }), /has no model\.merges/],
    ['a merge of one', broken({ merges: ['abc'] }), /merge 0 that is not a pair/],
    [
      'more tokens than the model has',
      broken({ vocab: { big: 320 } }),
      /gives "big" the id 320, but the model has 320/,
    ],
    ['an id that is no number', broken({ vocab: { odd: 'x' } }), /gives "odd" the id x/],
    [
      'one text for two ids',
      { ...broken({ vocab: { same: 5 } }), added_tokens: [{ id: 6, content: 'same', special: true }] },
      /gives the ids 5 and 6 to the same text "same"/,
    ],
  ])('%s', async (_, tokenizer, message) => {
    await expect(convert(tokenizer)).rejects.toThrow(message)
  })
})

describe.skipIf(!llamaCppAvailability().available)(
  'llama.cpp cuts text as the Hugging Face library does',
  () => {
    const texts = [
      'the world and the weather',
      ' leading space',
      "it's 2024, isn't IT?",
      'héllo\n\n  wörld 🦙',
      '12345 a1b2',
    ]

    async function ids(name: string, family: TinyFamily, tokenizer: Record<string, unknown> | null) {
      const directory = join(folder, name)
      await writeTinyModel({ directory, family })
      if (tokenizer) {
        await writeFile(join(directory, 'tokenizer.json'), JSON.stringify(tokenizer))
        await writeFile(join(directory, 'tokenizer_config.json'), '{}')
      }
      const output = `${directory}.gguf`
      await convertModel({ source: await openModel(directory), type: 'F16', output })
      const model = LlamaCppModel.open(output)
      const json = JSON.parse(await readFile(join(directory, 'tokenizer.json'), 'utf8'))
      const library = new Tokenizer(json, {})
      const pairs = texts.map((text) => ({
        text,
        ours: [...model.tokenize(text)],
        theirs: library.encode(text, { add_special_tokens: false }).ids,
      }))
      model.close()
      return pairs
    }

    test.each<[PreTokenizer, TinyFamily]>([
      ['llama-bpe', 'llama'],
      ['gpt-2', 'mistral'],
      ['qwen2', 'qwen3'],
      ['deepseek-llm', 'deepseek_v2'],
      ['deepseek-v3', 'deepseek_v3'],
    ])('%s', async (name, family) => {
      for (const { ours, theirs, text } of await ids(name, family, null)) expect(ours, text).toEqual(theirs)
    })

    test('SentencePiece-style', async () => {
      for (const { ours, theirs, text } of await ids('spm', 'llama', sentencePieceTokenizer())) {
        expect(ours, text).toEqual(theirs)
      }
    })
  },
)
