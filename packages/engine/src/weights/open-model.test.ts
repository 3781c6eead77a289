import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DomainError } from '@deos/domain'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeSafetensors } from '../testing/safetensors-writer.ts'
import { type TinyModelOptions, writeTinyModel } from '../testing/tiny-models.ts'
import { convertModel } from './convert-model.ts'
import { readGgufHeader } from './gguf-reader.ts'
import { array, float32, type GgufValue, string, uint32 } from './gguf-values.ts'
import { type PlannedTensor, writeGguf } from './gguf-writer.ts'
import { openModel } from './open-model.ts'
import { readTensor, tensorData } from './tensor-data.ts'

let root: string
let folder: string
let counter = 0

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'deos-open-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))
beforeEach(async () => {
  folder = join(root, String(counter++))
  await mkdir(folder)
})

const tiny = (options: Partial<TinyModelOptions> = {}) =>
  writeTinyModel({ directory: folder, family: 'llama', tokenizer: false, ...options })

async function editJson(name: string, edit: (json: Record<string, object>) => void): Promise<void> {
  const json = JSON.parse(await readFile(join(folder, name), 'utf8'))
  edit(json)
  await writeFile(join(folder, name), JSON.stringify(json))
}

async function refusal(path = folder): Promise<DomainError> {
  const error = await openModel(path).catch((caught: unknown) => caught)
  expect(error).toBeInstanceOf(DomainError)
  return error as DomainError
}

describe('a Hugging Face folder', () => {
  test('gives canonical names, ggml shapes and head counts to reorder', async () => {
    await tiny()
    const { config, format, tensors, metadata } = await openModel(folder)
    expect(format).toBe('huggingface')
    expect(metadata.size).toBe(0)
    expect(config.layers).toBe(4)
    expect(tensors.get('blk.3.attn_q.weight')).toMatchObject({
      shape: [64, 64],
      permuteHeads: 4,
      type: 'BF16',
    })
    expect(tensors.get('blk.3.attn_k.weight')).toMatchObject({ shape: [64, 32], permuteHeads: 2 })
    expect(tensors.get('blk.3.attn_v.weight')!.permuteHeads).toBeUndefined()
    expect(tensors.get('blk.3.ffn_down.weight')!.shape).toEqual([128, 64])
    expect(tensors.has('output.weight')).toBe(true)
  })

  test('of Qwen keeps its rows and has biases', async () => {
    await tiny({ family: 'qwen2' })
    const { tensors } = await openModel(folder)
    expect([...tensors.values()].some(({ permuteHeads }) => permuteHeads !== undefined)).toBe(false)
    expect(tensors.get('blk.0.attn_k.bias')!.shape).toEqual([32])
    expect(tensors.has('output.weight')).toBe(false)
  })

  test('may store a tied head again; it is left out', async () => {
    await tiny({ family: 'llama', config: { tiedEmbeddings: false, layers: 1 } })
    await editJson('config.json', (config) => Object.assign(config, { tie_word_embeddings: true }))
    expect((await openModel(folder)).tensors.has('output.weight')).toBe(false)
  })

  test('may carry computed buffers; they are left out', async () => {
    await tiny({ shards: 2 })
    const name = 'model.layers.0.self_attn.rotary_emb.inv_freq'
    const buffer = { name, dtype: 'F32' as const, shape: [8], data: new Uint8Array(32) }
    await writeFile(join(folder, 'extra.safetensors'), encodeSafetensors([buffer]))
    await editJson('model.safetensors.index.json', (json) =>
      Object.assign(json.weight_map!, { [name]: 'extra.safetensors' }),
    )
    expect((await openModel(folder)).tensors.size).toBe(4 * 9 + 3)
  })

  test.each<[string, () => Promise<unknown>, RegExp]>([
    [
      'a tensor that is missing',
      () => editJson('config.json', (config) => Object.assign(config, { num_hidden_layers: 5 })),
      /tensor model\.layers\.4\.input_layernorm\.weight is missing/,
    ],
    [
      'a tensor too many',
      () => editJson('config.json', (config) => Object.assign(config, { num_hidden_layers: 3 })),
      /tensor model\.layers\.3\.input_layernorm\.weight is not part of the Llama/,
    ],
    [
      'a shape that contradicts the configuration',
      () => editJson('config.json', (config) => Object.assign(config, { intermediate_size: 256 })),
      /mlp\.gate_proj\.weight has the shape \[128, 64\]; the model's configuration asks for \[256, 64\]/,
    ],
    [
      'a broken config.json',
      () => writeFile(join(folder, 'config.json'), '{'),
      /config\.json: is not valid JSON/,
    ],
    [
      'a config.json that is a list',
      () => writeFile(join(folder, 'config.json'), '[]'),
      /is not a JSON object/,
    ],
    ['no config.json', () => rm(join(folder, 'config.json')), /has no config\.json/],
    [
      'fused tensors',
      () =>
        writeFile(
          join(folder, 'model.safetensors'),
          encodeSafetensors([
            {
              name: 'model.layers.0.self_attn.qkv_proj.weight',
              dtype: 'F16',
              shape: [128, 64],
              data: new Uint8Array(16_384),
            },
          ]),
        ),
      /tensor model\.layers\.0\.self_attn\.qkv_proj\.weight is not part of/,
    ],
  ])('is refused with %s', async (_, damage, message) => {
    await tiny()
    await damage()
    expect((await refusal()).message).toMatch(message)
  })

  describe('in shards', () => {
    beforeEach(() => tiny({ shards: 2 }))
    const index = 'model.safetensors.index.json'
    const shard = 'model-00002-of-00002.safetensors'
    const place = (tensor: string, file: unknown) =>
      editJson(index, (json) => Object.assign(json.weight_map!, { [tensor]: file }))

    test.each<[string, () => Promise<unknown>, RegExp]>([
      ['a shard that is missing', () => rm(join(folder, shard)), /names the shard model-00002-of-00002/],
      ['an empty index', () => writeFile(join(folder, index), '{}'), /has no weight_map/],
      [
        'a shard in another folder',
        () => place('model.norm.weight', '../other.safetensors'),
        /tensor model\.norm\.weight is placed in "\.\.\/other/,
      ],
      ['a place that is a number', () => place('model.norm.weight', 7), /is placed in 7/],
      [
        'a tensor that is not where it should be',
        () => place('some.weight', shard),
        /tensor some\.weight should be in/,
      ],
      [
        'a tensor in both',
        async () => {
          await cp(join(folder, shard), join(folder, 'model-00003-of-00002.safetensors'))
          await place('model.norm.weight', 'model-00003-of-00002.safetensors')
        },
        /is in two shards|should be in/,
      ],
    ])('is refused with %s', async (_, damage, message) => {
      await damage()
      expect((await refusal()).message).toMatch(message)
    })
  })
})

describe('a GGUF file', () => {
  let path: string
  beforeEach(async () => {
    await tiny({ family: 'qwen3', tokenizer: true })
    path = join(folder, 'model.gguf')
    await convertModel({ source: await openModel(folder), type: 'F16', output: path })
  })

  /** The same file with other metadata or tensors. */
  async function rewrite(
    metadata: Record<string, GgufValue | null>,
    change: (tensors: PlannedTensor[]) => PlannedTensor[] = (tensors) => tensors,
  ): Promise<void> {
    const header = await readGgufHeader(path)
    const entries = new Map(header.metadata)
    for (const [key, value] of Object.entries(metadata)) {
      if (value) entries.set(key, value)
      else entries.delete(key)
    }
    const tensors = [...header.tensors.values()].map((tensor) => ({
      name: tensor.name,
      type: tensor.type,
      shape: tensor.shape,
      data: () => tensorData(tensor, tensor.type),
    }))
    const next = join(folder, 'next.gguf')
    await writeGguf({ path: next, metadata: entries, tensors: change(tensors) })
    await rename(next, path)
  }

  test('or a folder with just that file opens', async () => {
    const alone = join(folder, 'alone')
    await mkdir(alone)
    await cp(path, join(alone, 'any-name.gguf'))
    const [direct, inFolder] = [await openModel(path), await openModel(alone)]
    expect(inFolder.path).toBe(join(alone, 'any-name.gguf'))
    expect(inFolder.config).toEqual(direct.config)
    expect(inFolder.fingerprint).toBe(direct.fingerprint)
    expect(direct.metadata.get('general.architecture')).toBe('qwen3')
    expect((direct.metadata.get('tokenizer.ggml.tokens') as string[])[0]).toBe('<|begin|>')
  })

  test('opens without its vocabulary where nobody tokenizes', async () => {
    const { metadata, config } = await openModel(path, { vocabulary: false })
    expect(metadata.has('tokenizer.ggml.tokens')).toBe(false)
    expect(metadata.has('tokenizer.huggingface.json')).toBe(false)
    expect(metadata.has('tokenizer.ggml.model')).toBe(true)
    expect(config).toEqual((await openModel(path)).config)
  })

  test("takes llama.cpp's defaults for what is absent", async () => {
    await rewrite({
      'qwen3.rope.dimension_count': null,
      'qwen3.rope.freq_base': null,
      'qwen3.attention.value_length': null,
      'qwen3.vocab_size': null,
      'general.name': null,
      'deos.eos_token_ids': null,
    })
    expect((await openModel(path)).config).toMatchObject({
      headDim: 32,
      ropeDim: 32,
      ropeTheta: 10_000,
      vocabSize: 320,
      name: 'model',
      eosTokens: [1],
    })
  })

  test('without key_length has heads of hidden size over heads: then this one does not fit', async () => {
    await rewrite({
      'qwen3.attention.key_length': null,
      'qwen3.attention.value_length': null,
      'qwen3.rope.dimension_count': null,
    })
    expect((await refusal(path)).message).toMatch(
      /attn_q\.weight has the shape \[128, 64\]; .* asks for \[64, 64\]/,
    )
  })

  test('accepts one value per layer where they agree', async () => {
    await rewrite({ 'qwen3.attention.head_count_kv': array('int32', [2, 2, 2, 2]) })
    expect((await openModel(path)).config.kvHeads).toBe(2)
    await rewrite({ 'qwen3.attention.head_count_kv': array('int32', [2, 4, 2, 2]) })
    expect((await refusal(path)).message).toMatch(/head_count_kv" is \[2,4,2,2\]/)
  })

  test('recognises tokens that end a turn by their text, as llama.cpp does', async () => {
    const texts = Array.from({ length: 320 }, (_, id) => `t${id}`)
    texts[9] = '<|im_end|>'
    texts[10] = '<|eot_id|>'
    const types = texts.map((_, id) => (id === 9 ? 3 : 1))
    await rewrite({
      'deos.eos_token_ids': null,
      'tokenizer.ggml.tokens': array('string', texts),
      'tokenizer.ggml.token_type': array('int32', types),
    })
    expect((await openModel(path)).config.eosTokens).toEqual([1, 9])
  })

  test.each<[string, Record<string, GgufValue | null>, RegExp]>([
    ['another architecture', { 'general.architecture': string('mamba') }, /architecture "mamba"/],
    ['no architecture', { 'general.architecture': null }, /"general.architecture" is missing/],
    ['a missing key', { 'qwen3.block_count': null }, /"qwen3.block_count" is missing; it must be a number/],
    ['a key of another type', { 'qwen3.block_count': string('4') }, /"qwen3.block_count" is "4"/],
    ['no layers', { 'qwen3.block_count': uint32(0) }, /"qwen3.block_count" is 0/],
    [
      'more layers than tensors',
      { 'qwen3.block_count': uint32(5) },
      /tensor blk.4.attn_norm.weight is missing/,
    ],
    [
      'fewer layers than tensors',
      { 'qwen3.block_count': uint32(3) },
      /tensor blk.3.attn_norm.weight is not part/,
    ],
    ['a norm epsilon of 0', { 'qwen3.attention.layer_norm_rms_epsilon': float32(0) }, /rms_epsilon" is 0/],
    [
      'heads that do not divide',
      { 'qwen3.attention.head_count_kv': uint32(3) },
      /not a multiple of its 3 KV/,
    ],
    ['experts', { 'qwen3.expert_count': uint32(8) }, /mixture of experts/],
    ['parts', { 'split.count': uint32(3) }, /is part 1 of 3 of a model, but its name/],
    ['longrope', { 'qwen3.rope.scaling.type': string('longrope') }, /scales positions by "longrope"/],
    ['values unlike keys', { 'qwen3.attention.value_length': uint32(16) }, /keys of 32 and values of 16/],
    ['half-rotated heads', { 'qwen3.rope.dimension_count': uint32(16) }, /rotates 16 of 32/],
    [
      'a vocabulary of another size',
      { 'tokenizer.ggml.tokens': array('string', ['a', 'b']) },
      /token_embd.weight has the shape/,
    ],
    ['an end token outside', { 'tokenizer.ggml.eos_token_id': uint32(320) }, /eos_token_id" is 320/],
    [
      'an end token outside the list',
      { 'deos.eos_token_ids': array('uint32', [1, 999]) },
      /eos_token_ids" is \[1,999\]/,
    ],
  ])('is refused with %s', async (_, metadata, message) => {
    await rewrite(metadata)
    const { message: said, hint } = await refusal(path)
    expect(said).toMatch(message)
    expect(said).toContain(path)
    expect(hint).not.toBe('')
  })

  test('is refused with an unknown, a missing or an integer tensor', async () => {
    const extra: PlannedTensor = {
      name: 'blk.0.ffn_gate_inp.weight',
      type: 'F32',
      shape: [2],
      data: () => [new Uint8Array(8)],
    }
    await rewrite({}, (tensors) => [...tensors, extra])
    expect((await refusal(path)).message).toMatch(
      /tensor blk\.0\.ffn_gate_inp\.weight is not part of the Qwen 3/,
    )
    await rewrite({}, (tensors) =>
      tensors.filter(({ name }) => name !== extra.name && name !== 'blk.2.attn_q_norm.weight'),
    )
    expect((await refusal(path)).message).toMatch(/tensor blk\.2\.attn_q_norm\.weight is missing/)
    const ids: PlannedTensor = {
      name: 'blk.2.attn_q_norm.weight',
      type: 'I32',
      shape: [32],
      data: () => [new Uint8Array(128)],
    }
    await rewrite({}, (tensors) => [...tensors, ids])
    expect((await refusal(path)).message).toMatch(/tensor blk\.2\.attn_q_norm\.weight holds integers/)
  })

  test('is refused when cut in its data, naming the tensor', async () => {
    const whole = await readFile(path)
    await writeFile(path, whole.subarray(0, whole.length - 4096))
    const { message, hint } = await refusal(path)
    expect(message).toMatch(/tensor \S+ ends at byte \d+, but the file has \d+/)
    expect(hint).toMatch(/truncated/)
  })
})

describe('scaling survives GGUF', () => {
  test.each([
    { type: 'linear', factor: 4 },
    { type: 'yarn', factor: 4, originalContext: 128, attentionFactor: 1.1386294, betaFast: 32, betaSlow: 1 },
    { type: 'yarn', factor: 2, originalContext: 128, attentionFactor: 1.5, betaFast: 16, betaSlow: 2 },
  ] as const)('$type by $factor', async (ropeScaling) => {
    await tiny({ config: { ropeScaling } })
    const output = join(folder, 'model.gguf')
    await convertModel({ source: await openModel(folder), type: 'F16', output })
    const read = (await openModel(output)).config.ropeScaling
    for (const [key, value] of Object.entries(ropeScaling)) {
      const found = read[key as keyof typeof read]
      if (typeof value === 'number') expect(found).toBeCloseTo(value, 5)
      else expect(found).toBe(value)
    }
  })

  test('Llama 3: as the tensor of factors, used as it is', async () => {
    const ropeScaling = {
      type: 'llama3',
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalContext: 64,
    } as const
    await tiny({ config: { ropeScaling } })
    const output = join(folder, 'model.gguf')
    await convertModel({ source: await openModel(folder), type: 'F16', output })
    const { config, tensors } = await openModel(output)
    expect(config.ropeScaling).toEqual({ type: 'none' })
    const factors = await readTensor(tensors.get('rope_freqs.weight')!)
    expect([factors[0], factors.at(-1)]).toEqual([1, 8])
  })
})

describe('a path that is no model', () => {
  test('does not exist', async () => {
    expect(await refusal(join(folder, 'nothing'))).toMatchObject({ code: 'MODEL_NOT_FOUND' })
  })

  test('is an empty folder', async () => {
    expect((await refusal()).message).toMatch(/is an empty folder/)
  })

  test('is a folder of PyTorch pickles', async () => {
    await writeFile(join(folder, 'config.json'), '{}')
    await writeFile(join(folder, 'pytorch_model.bin'), 'x')
    const { message, hint } = await refusal()
    expect(message).toMatch(/holds no model weights/)
    expect(hint).toMatch(/pytorch_model\.bin is a PyTorch pickle.*safetensors/)
  })

  test('is a folder with several GGUF files', async () => {
    for (const name of ['a.gguf', 'b.gguf']) await writeFile(join(folder, name), 'x')
    expect((await refusal()).message).toMatch(/holds 2 models in GGUF files \(a\.gguf, b\.gguf\)/)
  })

  test.each([
    ['model.safetensors', /one file of a Hugging Face folder/],
    ['model.bin', /PyTorch pickle/],
    ['model.gguf', /is not a GGUF file/],
    ['README.md', /is not a GGUF file/],
  ])('is %s', async (name, message) => {
    await writeFile(join(folder, name), 'whatever it may be')
    expect((await refusal(join(folder, name))).message).toMatch(message)
  })
})

describe('fingerprint', () => {
  test('is equal for a copy elsewhere and different for other weights', async () => {
    await tiny({ seed: 1 })
    const copy = join(folder, 'copy')
    await mkdir(copy)
    for (const name of ['config.json', 'model.safetensors']) await cp(join(folder, name), join(copy, name))
    const first = (await openModel(folder)).fingerprint
    expect(first).toMatch(/^[0-9a-f]{64}$/)
    expect((await openModel(copy)).fingerprint).toBe(first)
    await tiny({ seed: 2 })
    expect((await openModel(folder)).fingerprint).not.toBe(first)
  })

  test('sees one tensor trained further', async () => {
    await tiny()
    const before = await openModel(folder)
    const { file, offset } = before.tensors.get('blk.2.attn_v.weight')!
    const data = await readFile(file)
    data[offset] = data[offset]! ^ 1
    await writeFile(file, data)
    expect((await openModel(folder)).fingerprint).not.toBe(before.fingerprint)
  })
})
