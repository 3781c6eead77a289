import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ModelFileError, UnsupportedModelError } from '../weights/errors.ts'
import { loadTokenizer, readTokenizerDefinition } from './load.ts'
import {
  byteLevelDefinition,
  embeddedSource,
  FIRST_PIECE,
  ggufSource,
  sentencePieceMetadata,
} from './test-tokenizers.ts'

describe('a Hugging Face folder', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'deos-tokenizer-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  const write = (name: string, value: unknown) =>
    writeFile(join(folder, name), typeof value === 'string' ? value : JSON.stringify(value))
  const source = (eosTokens: number[] = []) => ({
    path: folder,
    format: 'huggingface' as const,
    metadata: new Map(),
    config: { eosTokens },
  })
  const json = byteLevelDefinition([], [{ content: '<s>' }, { content: '</s>' }, { content: '<|eot|>' }]).json

  test('gathers what its files say', async () => {
    await write('tokenizer.json', json)
    await write('tokenizer_config.json', {
      bos_token: { content: '<s>' },
      eos_token: '</s>',
      add_bos_token: true,
      chat_template: [
        { name: 'default', template: 'D' },
        { name: 'tool_use', template: 'T' },
      ],
    })
    await write('generation_config.json', { eos_token_id: [257, 258] })
    expect(await readTokenizerDefinition(source([257]))).toMatchObject({
      bosToken: '<s>',
      eosToken: '</s>',
      addBos: true,
      addEos: null,
      chatTemplate: 'D',
      toolChatTemplate: 'T',
    })
    const tokenizer = await loadTokenizer(source([257]))
    expect(tokenizer.stopTokens).toEqual([257, 258])
    expect([...tokenizer.encode('a', { addSpecial: true })]).toEqual([256, 0x61])
  })

  test('takes the template from chat_template.jinja, and special tokens from their map', async () => {
    await write('tokenizer.json', json)
    await write('tokenizer_config.json', { chat_template: 'old' })
    await write('special_tokens_map.json', { eos_token: '</s>' })
    await write('chat_template.jinja', 'new')
    expect(await readTokenizerDefinition(source())).toMatchObject({
      chatTemplate: 'new',
      eosToken: '</s>',
      stopTokens: [257],
    })
  })

  test('needs tokenizer.json alone', async () => {
    await write('tokenizer.json', json)
    expect(await readTokenizerDefinition(source())).toMatchObject({ bosToken: null, chatTemplate: null })
  })

  test('says what is missing or damaged', async () => {
    await expect(loadTokenizer(source())).rejects.toThrow('has no tokenizer.json')
    await write('tokenizer.json', '{"model":')
    await expect(loadTokenizer(source())).rejects.toThrow(ModelFileError)
  })
})

describe('a GGUF file with a SentencePiece vocabulary', () => {
  const pieces = ['▁a', 'ab', '▁ab', 'a', 'b', '▁', 'é']
  const id = (piece: string) => FIRST_PIECE + pieces.indexOf(piece)
  const byte = (value: number) => 3 + value
  const metadata = sentencePieceMetadata(pieces)

  test('joins the best-scored neighbours first, puts a space before, and falls back to bytes', async () => {
    const tokenizer = await loadTokenizer(ggufSource(metadata))
    // "▁ab": "▁a" scores above "ab", and then makes "▁ab" with "b".
    expect([...tokenizer.encode('ab')]).toEqual([id('▁ab')])
    expect([...tokenizer.encode('bab')]).toEqual([id('▁'), id('b'), id('ab')])
    expect([...tokenizer.encode('é€')]).toEqual([id('▁'), id('é'), byte(0xe2), byte(0x82), byte(0xac)])
    expect([...tokenizer.encode('')]).toEqual([])
    expect(tokenizer.decode(tokenizer.encode('ab €'))).toBe('ab €')
  })

  test('puts BOS first unless the file says otherwise', async () => {
    const encode = async (changes: [string, unknown][]) => {
      const tokenizer = await loadTokenizer(ggufSource(new Map([...metadata, ...changes])))
      return [...tokenizer.encode('a', { addSpecial: true })]
    }
    expect(await encode([])).toEqual([1, id('▁a')])
    expect(await encode([['tokenizer.ggml.add_bos_token', false]])).toEqual([id('▁a')])
    expect(await encode([['tokenizer.ggml.add_eos_token', true]])).toEqual([1, id('▁a'), 2])
    expect(await encode([['tokenizer.ggml.add_space_prefix', false]])).toEqual([1, id('a')])
  })

  test('reads control tokens only when asked to, and never bytes by their names', async () => {
    const tokenizer = await loadTokenizer(ggufSource(metadata))
    expect([...tokenizer.encode('a</s>a', { parseSpecial: true })]).toEqual([id('▁a'), 2, id('▁a')])
    expect([...tokenizer.encode('</s>')]).not.toContain(2)
    expect([...tokenizer.encode('<0x41>')]).not.toContain(byte(0x41))
    expect(tokenizer.stopTokens).toEqual([2])
  })
})

describe('a GGUF file with a byte-level vocabulary', () => {
  const json = byteLevelDefinition([
    ['a', 'b'],
    ['1', '2'],
    ['12', '3'],
    ['123', '4'],
  ]).json as { model: { vocab: Record<string, number>; merges: string[][] } }
  const texts = [...Object.keys(json.model.vocab), '<|im_end|>', '<think>']
  const ids = new Map(Object.entries(json.model.vocab))
  const tokens = texts
    .map((text, index) => [text, ids.get(text) ?? index] as const)
    .sort((a, b) => a[1] - b[1])
    .map(([text]) => text)
  const metadata = (changes: [string, unknown][] = []) =>
    new Map<string, unknown>([
      ['tokenizer.ggml.model', 'gpt2'],
      ['tokenizer.ggml.pre', 'qwen2'],
      ['tokenizer.ggml.tokens', tokens],
      [
        'tokenizer.ggml.token_type',
        tokens.map((text) => (text === '<|im_end|>' ? 3 : text === '<think>' ? 4 : 1)),
      ],
      ['tokenizer.ggml.merges', json.model.merges.map((pair) => pair.join(' '))],
      ['tokenizer.ggml.eos_token_id', tokens.indexOf('<think>')],
      ['tokenizer.chat_template', 'T'],
      ...changes,
    ])
  const encode = async (text: string, changes: [string, unknown][] = []) => {
    const tokenizer = await loadTokenizer(ggufSource(metadata(changes)))
    return [...tokenizer.encode(text)].map((id) => tokenizer.tokenText(id))
  }

  test('splits as its pre-tokenizer says', async () => {
    expect(await encode('ab1234')).toEqual(['ab', '1', '2', '3', '4'])
    expect(await encode('ab1234', [['tokenizer.ggml.pre', 'llama-bpe']])).toEqual(['ab', '123', '4'])
    expect(await encode('ab1234', [['tokenizer.ggml.pre', 'gpt-2']])).toEqual(['ab', '1234'])
    expect(await encode('ab1234', [['tokenizer.ggml.pre', 'gpt-4o']])).toEqual(['ab', '123', '4'])
    expect(await encode('ab1234', [['tokenizer.ggml.pre', 'tekken']])).toEqual(['ab', '1', '2', '3', '4'])
    expect(await encode('ab1234', [['tokenizer.ggml.pre', 'deepseek-v3']])).toEqual(['ab', '123', '4'])
    expect(await encode('ab1234', [['tokenizer.ggml.pre', 'deepseek-llm']])).toEqual([
      'ab',
      '1',
      '2',
      '3',
      '4',
    ])
    // The fourth expression of llama.cpp's default cuts numbers into threes.
    expect(await encode('ab1234', [['tokenizer.ggml.pre', 'default']])).toEqual(['ab', '123', '4'])
  })

  test('knows user-defined tokens anywhere, control tokens not, and what ends a turn', async () => {
    expect(await encode('<think><|im_end|>')).toEqual(['<think>', ...'<|im_end|>'])
    const tokenizer = await loadTokenizer(ggufSource(metadata()))
    expect(tokenizer.stopTokens).toEqual([tokens.indexOf('<think>'), tokens.indexOf('<|im_end|>')])
    expect((await readTokenizerDefinition(ggufSource(metadata()))).chatTemplate).toBe('T')
  })

  test('is taken from tokenizer.huggingface.json where that is present', async () => {
    const definition = await readTokenizerDefinition(embeddedSource)
    const exact = new Map<string, unknown>([
      ...metadata(),
      ['tokenizer.huggingface.json', JSON.stringify(definition.json)],
      ['tokenizer.ggml.eos_token_id', 0],
      ['tokenizer.ggml.tokens', ['<|end|>', 'x']],
      ['tokenizer.ggml.token_type', [3, 1]],
    ])
    const fromGguf = await loadTokenizer(ggufSource(exact))
    const fromFolder = await loadTokenizer(embeddedSource)
    const text = 'fn main() { println!("héllo"); }'
    expect(fromGguf.encode(text)).toEqual(fromFolder.encode(text))
    expect(fromGguf.eosToken).toBe(0)
  })

  test.each([
    ['an unknown pre-tokenizer', [['tokenizer.ggml.pre', 'gemma4']], UnsupportedModelError, '"gemma4"'],
    ['an unknown model', [['tokenizer.ggml.model', 'bert']], UnsupportedModelError, '"bert"'],
    ['no tokenizer', [['tokenizer.ggml.model', 'none']], UnsupportedModelError, 'has no tokenizer'],
    ['no merges', [['tokenizer.ggml.merges', null]], ModelFileError, 'tokenizer.ggml.merges'],
    ['no tokens', [['tokenizer.ggml.tokens', []]], ModelFileError, 'tokenizer.ggml.tokens'],
    ['tokens that are no texts', [['tokenizer.ggml.tokens', [1]]], ModelFileError, 'a list of texts'],
    ['too few types', [['tokenizer.ggml.token_type', [1]]], ModelFileError, 'tokenizer.ggml.token_type'],
    ['an id beyond the end', [['tokenizer.ggml.eos_token_id', 9999]], ModelFileError, 'eos_token_id'],
    ['damaged JSON', [['tokenizer.huggingface.json', '{']], ModelFileError, 'tokenizer.huggingface.json'],
  ] as const)('%s is refused by file and key', async (_, changes, kind, words) => {
    const act = () => loadTokenizer(ggufSource(metadata(changes as unknown as [string, unknown][])))
    await expect(act).rejects.toThrow(kind)
    await expect(act).rejects.toThrow(words)
    await expect(act).rejects.toThrow('test.gguf')
  })
})
