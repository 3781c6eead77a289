import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ModelConfig } from '@deos/domain'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Backend } from '../ggml/backend.ts'
import type { BatchEntry } from '../stage/index.ts'
import { argmax, LlamaCppModel, llamaCppAvailability } from '../testing/llama-cpp/index.ts'
import { parityTolerance, randomTokens, relativeDifference } from '../testing/parity/describe-parity.ts'
import { Pipeline } from '../testing/parity/pipeline.ts'
import { type WritableTensor, writeSafetensors } from '../testing/safetensors-writer.ts'
import { type TinyAdapterOptions, writeTinyAdapter } from '../testing/tiny-adapter.ts'
import { type TinyFamily, writeTinyModel } from '../testing/tiny-models.ts'
import { float32, string } from '../weights/gguf-values.ts'
import { convertModel, type ModelSource, openModel, type PlannedTensor, writeGguf } from '../weights/index.ts'
import { readSafetensors } from '../weights/safetensors.ts'
import { readTensor } from '../weights/tensor-data.ts'
import { AdapterError, openAdapter, readAdapterWeights } from './index.ts'

const folder = mkdtempSync(join(tmpdir(), 'deos-lora-'))
let backend: Backend

beforeAll(() => {
  backend = Backend.open({ threads: 1 })
})
afterAll(() => {
  backend.close()
  rmSync(folder, { recursive: true, force: true })
})

/** A model as a Hugging Face folder in F32 and as a GGUF file of it. */
async function writeBase(family: TinyFamily) {
  const directory = mkdtempSync(join(folder, `${family}-`))
  const config = await writeTinyModel({ directory, family, dtype: 'F32', config: { layers: 5 } })
  return { directory, config, source: await toGguf(directory) }
}

async function toGguf(directory: string): Promise<ModelSource> {
  const output = join(directory, 'model.gguf')
  await convertModel({ source: await openModel(directory), type: 'F32', output })
  return openModel(output)
}

async function writeAdapter(config: ModelConfig, options: Partial<TinyAdapterOptions> = {}): Promise<string> {
  const directory = mkdtempSync(join(folder, 'adapter-'))
  await writeTinyAdapter({ directory, config, ...options })
  return directory
}

/** The model with `scale · b · a` added to its matrices, from the names and layout that PEFT and the model share. */
async function merge(base: string, adapter: string, scale: number): Promise<ModelSource> {
  const { tensors } = await readSafetensors(join(base, 'model.safetensors'))
  const changes = (await readSafetensors(join(adapter, 'adapter_model.safetensors'))).tensors
  const merged: WritableTensor[] = []
  for (const [name, tensor] of tensors) {
    const values = await readTensor(tensor)
    const [columns = 1, rows = 1] = tensor.shape
    const path = `base_model.model.${name.replace(/\.weight$/, '')}`
    const [a, b] = [changes.get(`${path}.lora_A.weight`), changes.get(`${path}.lora_B.weight`)]
    if (a && b) addProduct(values, await readTensor(a), await readTensor(b), columns, rows, scale)
    merged.push({
      ...{ name, dtype: 'F32', shape: tensor.shape.toReversed() },
      data: new Uint8Array(values.buffer),
    })
  }
  const directory = mkdtempSync(join(folder, 'merged-'))
  for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json']) {
    copyFileSync(join(base, file), join(directory, file))
  }
  await writeSafetensors(join(directory, 'model.safetensors'), merged)
  return toGguf(directory)
}

function addProduct(
  values: Float32Array,
  a: Float32Array,
  b: Float32Array,
  columns: number,
  rows: number,
  scale: number,
): void {
  const rank = a.length / columns
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      let sum = 0
      for (let k = 0; k < rank; k += 1) sum += b[row * rank + k]! * a[k * columns + column]!
      values[row * columns + column]! += scale * sum
    }
  }
}

async function load(pipeline: Pipeline, name: string, path: string, config: ModelConfig): Promise<void> {
  const source = await openAdapter(path, config)
  for (const stage of pipeline.stages) {
    stage.addAdapter(name, await readAdapterWeights(source, stage.layers))
  }
}

const entry = (sequence: number, count: number, adapter: string | null): BatchEntry => ({
  ...{ sequence, count, outputs: 'last', adapter },
})

const rowsOf = (logits: Float32Array, vocabSize: number) =>
  Array.from({ length: logits.length / vocabSize }, (_, row) =>
    logits.subarray(row * vocabSize, (row + 1) * vocabSize),
  )

describe.each(['llama', 'qwen2', 'phi3'] as const)('%s', (family) => {
  const modules = family === 'phi3' ? ['qkv_proj', 'o_proj', 'gate_up_proj', 'down_proj'] : undefined
  const given = modules ? { modules } : {}

  test.each([[[]], [[2]], [[1, 2, 3, 4]]])(
    'an adapter is the model with merged weights, cut at %j',
    async (cuts) => {
      const { directory, config, source } = await writeBase(family)
      const adapter = await writeAdapter(config, { ...given, rank: 4, alpha: 6 })
      const adapted = await Pipeline.load(backend, source, cuts)
      const merged = await Pipeline.load(backend, await merge(directory, adapter, 6 / 4), [])
      const plain = await Pipeline.load(backend, source, [])
      await load(adapted, 'x', adapter, config)
      for (const pipeline of [adapted, merged, plain]) pipeline.allocate(0)
      const prompt = randomTokens(1, 20, config.vocabSize)
      let [tokens, count] = [prompt, prompt.length]
      for (let step = 0; step < 8; step += 1) {
        const logits = await adapted.forward([entry(0, count, 'x')], tokens)
        const expected = await merged.forward([entry(0, count, null)], tokens)
        const without = await plain.forward([entry(0, count, null)], tokens)
        expect(relativeDifference(logits, expected), `step ${step}`).toBeLessThan(parityTolerance)
        expect(relativeDifference(logits, without)).toBeGreaterThan(0.05)
        tokens = Int32Array.of(argmax(expected))
        count = 1
      }
      for (const pipeline of [adapted, merged, plain]) pipeline.close()
    },
  )

  test('sequences with different adapters and without run in one batch as each alone', async () => {
    const { config, source } = await writeBase(family)
    const { vocabSize } = config
    const narrow = await writeAdapter(config, { ...given, rank: 2, seed: 5, settings: { use_rslora: true } })
    const wide = await writeAdapter(config, { rank: 8, seed: 6, modules: ['o_proj', 'down_proj'] })
    const together = await Pipeline.load(backend, source, [2])
    await load(together, 'narrow', narrow, config)
    await load(together, 'wide', wide, config)
    const adapters = ['wide', null, 'narrow', 'wide']
    const prompts = [7, 12, 1, 5].map((length, seed) => randomTokens(seed, length, vocabSize))
    for (const sequence of adapters.keys()) together.allocate(sequence)
    const entries = (lengths: readonly number[]) =>
      lengths.map((length, sequence) => entry(sequence, length, adapters[sequence]!))
    const first = await together.forward(
      entries(prompts.map(({ length }) => length)),
      Int32Array.from(prompts.flatMap((prompt) => [...prompt])),
    )
    const next = rowsOf(first, vocabSize).map(argmax)
    const second = await together.forward(entries([1, 1, 1, 1]), Int32Array.from(next))
    for (const [sequence, prompt] of prompts.entries()) {
      const alone = await Pipeline.load(backend, source, [])
      const name = adapters[sequence]!
      if (name) await load(alone, name, name === 'wide' ? wide : narrow, config)
      alone.allocate(0)
      const a = await alone.forward([entry(0, prompt.length, name)], prompt)
      expect(relativeDifference(rowsOf(first, vocabSize)[sequence]!, a)).toBeLessThan(parityTolerance)
      const b = await alone.forward([entry(0, 1, name)], Int32Array.of(next[sequence]!))
      expect(relativeDifference(rowsOf(second, vocabSize)[sequence]!, b)).toBeLessThan(parityTolerance)
      alone.close()
    }
    together.close()
  })
})

test('a batch without adapters is computed by the same operations as if none were loaded', async () => {
  const { config, source } = await writeBase('llama')
  const [with_, without] = [await Pipeline.load(backend, source), await Pipeline.load(backend, source)]
  await load(with_, 'x', await writeAdapter(config), config)
  with_.allocate(0)
  without.allocate(0)
  const prompt = randomTokens(1, 20, config.vocabSize)
  expect(await with_.forward([entry(0, 20, null)], prompt)).toEqual(
    await without.forward([entry(0, 20, null)], prompt),
  )
  with_.close()
  without.close()
})

test('adapters make room for others, but not those in use', async () => {
  const { config, source } = await writeBase('llama')
  const pipeline = await Pipeline.load(backend, source)
  const stage = pipeline.stages[0]!
  const first = await writeAdapter(config, { seed: 1 })
  await load(pipeline, 'first', first, config)
  pipeline.allocate(0)
  const prompt = randomTokens(1, 6, config.vocabSize)
  const before = await pipeline.forward([entry(0, 6, 'first')], prompt)
  stage.retainAdapter('first')
  for (let index = 0; index < 9; index += 1) {
    const options = index % 2 === 0 ? { rank: 2 + index } : { modules: ['q_proj'] }
    await load(
      pipeline,
      `other ${index}`,
      await writeAdapter(config, { seed: 10 + index, ...options }),
      config,
    )
  }
  expect(stage.hasAdapter('first')).toBe(true)
  expect(stage.hasAdapter('other 0')).toBe(false)
  expect(stage.hasAdapter('other 8')).toBe(true)
  pipeline.allocate(1)
  const after = await pipeline.forward([entry(1, 6, 'first')], prompt)
  expect(relativeDifference(after, before)).toBeLessThan(parityTolerance)
  stage.releaseAdapter('first')
  await load(pipeline, 'last', await writeAdapter(config, { modules: ['v_proj'] }), config)
  await load(pipeline, 'first again', first, config)
  pipeline.allocate(2)
  expect(
    relativeDifference(await pipeline.forward([entry(2, 6, 'first again')], prompt), before),
  ).toBeLessThan(parityTolerance)
  pipeline.allocate(3)
  await expect(pipeline.forward([entry(3, 6, 'other 0')], prompt)).rejects.toThrow(AdapterError)
  expect(stage.kv.pages.length(3)).toBe(0)
  pipeline.close()
})

test('an adapter of the last layer alone works where nothing of that layer is wanted', async () => {
  const { config, source } = await writeBase('llama')
  const directory = await writeAdapter(config, { modules: ['q_proj', 'o_proj', 'down_proj'] })
  const pipeline = await Pipeline.load(backend, source, [4])
  await load(pipeline, 'x', directory, config)
  pipeline.allocate(0)
  const tokens = randomTokens(1, 12, config.vocabSize)
  await pipeline.forward([{ ...entry(0, 7, 'x'), outputs: 'none' }], tokens.slice(0, 7))
  const chunked = await pipeline.forward([entry(0, 5, 'x')], tokens.slice(7))
  pipeline.allocate(1)
  const atOnce = await pipeline.forward([entry(1, 12, 'x')], tokens)
  expect(relativeDifference(chunked, atOnce)).toBeLessThan(parityTolerance)
  pipeline.close()
})

/** The adapter as llama.cpp's converter writes it. */
async function writeGgufAdapter(
  peft: string,
  config: ModelConfig,
  alpha: number,
  changes = {},
): Promise<string> {
  const { modules } = await openAdapter(peft, config)
  const tensors: PlannedTensor[] = []
  for (const [name, { a, b }] of modules) {
    for (const [suffix, tensor] of [
      ['lora_a', a],
      ['lora_b', b],
    ] as const) {
      const values = await readTensor(tensor)
      const data = () => [new Uint8Array(values.buffer)]
      tensors.push({ name: `${name}.weight.${suffix}`, type: 'F32', shape: tensor.shape, data })
    }
  }
  const metadata = {
    'general.type': string('adapter'),
    'general.architecture': string(config.architecture),
    'adapter.type': string('lora'),
    'adapter.lora.alpha': float32(alpha),
    ...changes,
  }
  const path = join(mkdtempSync(join(folder, 'gguf-')), 'adapter.gguf')
  await writeGguf({ path, metadata: Object.entries(metadata), tensors })
  return path
}

test('a GGUF adapter says what the PEFT folder it was made of says', async () => {
  const { config } = await writeBase('llama')
  const peft = await writeAdapter(config, { rank: 4, alpha: 10 })
  const gguf = await writeGgufAdapter(peft, config, 10)
  const layers = { first: 1, end: 3 }
  const expected = await readAdapterWeights(await openAdapter(peft, config), layers)
  expect(await readAdapterWeights(await openAdapter(gguf, config), layers)).toEqual(expected)
  expect([...expected.keys()].every((name) => /^blk\.[12]\./.test(name))).toBe(true)
  expect(expected.size).toBe(14)
})

test.skipIf(!llamaCppAvailability().available).each(['llama', 'qwen3'] as const)(
  '%s: the logits of llama.cpp with the same adapter',
  async (family) => {
    const { config, source } = await writeBase(family)
    const peft = await writeAdapter(config, { alpha: 5 })
    const adapter = await writeGgufAdapter(peft, config, 5)
    const ours = await Pipeline.load(backend, source, [3])
    await load(ours, 'x', adapter, config)
    const oracle = LlamaCppModel.open(source.path, { context: 256, adapter })
    ours.allocate(0)
    const prompt = randomTokens(3, 24, config.vocabSize)
    let logits = await ours.forward([entry(0, 24, 'x')], prompt)
    let expected = await oracle.prefill(0, prompt)
    for (let step = 0; step < 32; step += 1) {
      expect(relativeDifference(logits, expected), `step ${step}`).toBeLessThan(parityTolerance)
      const token = argmax(expected)
      expect(argmax(logits)).toBe(token)
      logits = await ours.forward([entry(0, 1, 'x')], Int32Array.of(token))
      expected = (await oracle.decode([{ sequence: 0, token, position: 24 + step }]))[0]!
    }
    oracle.close()
    ours.close()
  },
)

describe('refused by name', () => {
  const settings: [string, Readonly<Record<string, unknown>>, RegExp][] = [
    ['another method', { peft_type: 'IA3' }, /type IA3/],
    ['DoRA', { use_dora: true }, /use_dora/],
    ['trained biases', { bias: 'all' }, /trained biases \(all\)/],
    ['whole modules', { modules_to_save: ['lm_head'] }, /whole modules \(lm_head\)/],
    ['transposed weights', { fan_in_fan_out: true }, /fan_in_fan_out/],
    ['an alpha of zero', { lora_alpha: 0 }, /lora_alpha/],
    ['a pattern that is none', { alpha_pattern: { '(': 3 } }, /which is none/],
  ]
  test.each(settings)('%s', async (_, changes, message) => {
    const { config } = await writeBase('llama')
    const adapter = await writeAdapter(config, { settings: changes })
    await expect(openAdapter(adapter, config)).rejects.toThrow(message)
  })

  test('an adapter of another model', async () => {
    const { config } = await writeBase('llama')
    const adapter = await writeAdapter({ ...config, hiddenSize: 32 })
    await expect(openAdapter(adapter, config)).rejects.toThrow(/blk\.0\.attn_q .*the matrix is \[64, 64\]/)
    const deeper = await writeAdapter({ ...config, layers: 6 })
    await expect(openAdapter(deeper, config)).rejects.toThrow(/model\.layers\.5\..*does not have/)
  })

  test('changes of the embedding, a missing half, no change at all, and nothing there', async () => {
    const { config } = await writeBase('llama')
    const vector = new Uint8Array(4 * 4 * 64)
    const tensor = (name: string): WritableTensor => ({ name, dtype: 'F32', shape: [4, 64], data: vector })
    const holding = async (...tensors: WritableTensor[]) => {
      const directory = await writeAdapter(config)
      await writeSafetensors(join(directory, 'adapter_model.safetensors'), tensors)
      return openAdapter(directory, config)
    }
    const embedding = tensor('base_model.model.model.embed_tokens.lora_embedding_A')
    await expect(holding(embedding)).rejects.toThrow(/lora_embedding_A/)
    const head = tensor('base_model.model.lm_head.lora_A.weight')
    const headB: WritableTensor = { ...tensor('base_model.model.lm_head.lora_B.weight'), shape: [64, 4] }
    await expect(holding(head, headB)).rejects.toThrow(/changes lm_head/)
    const half = tensor('base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight')
    await expect(holding(half)).rejects.toThrow(/only one of the two matrices/)
    await expect(holding()).rejects.toThrow(/changes no matrix/)
    await expect(openAdapter(join(folder, 'nowhere'), config)).rejects.toThrow(/no adapter at/)
  })

  test('values that are not finite', async () => {
    const { config } = await writeBase('llama')
    const adapter = await writeAdapter(config)
    const path = join(adapter, 'adapter_model.safetensors')
    const bytes = readFileSync(path)
    bytes.fill(0xff, bytes.length - 4)
    writeFileSync(path, bytes)
    const source = await openAdapter(adapter, config)
    await expect(readAdapterWeights(source, { first: 0, end: 5 })).rejects.toThrow(/not finite/)
    expect((await readAdapterWeights(source, { first: 0, end: 4 })).size).toBe(28)
  })

  test.each([
    ['a model', { 'general.type': string('model') }, /general\.type is model/],
    ['another family', { 'general.architecture': string('qwen2') }, /of the family qwen2/],
    ['another kind of adapter', { 'adapter.type': string('loha') }, /adapter\.type loha/],
    ['a negative alpha', { 'adapter.lora.alpha': float32(-1) }, /alpha -1/],
  ])('a GGUF file of %s', async (_, changes, message) => {
    const { config } = await writeBase('llama')
    const gguf = await writeGgufAdapter(await writeAdapter(config), config, 8, changes)
    await expect(openAdapter(gguf, config)).rejects.toThrow(message)
  })
})

test('an alpha pattern holds for the modules whose paths end so', async () => {
  const { config } = await writeBase('llama')
  const adapter = await writeAdapter(config, {
    rank: 4,
    alpha: 8,
    settings: { alpha_pattern: { q_proj: 2, 'layers\\.1\\.mlp\\..*': 4 } },
  })
  const { modules } = await openAdapter(adapter, config)
  const scale = (name: string) => modules.get(name)!.scale
  expect(['blk.0.attn_q', 'blk.0.attn_k', 'blk.1.ffn_up', 'blk.0.ffn_up'].map(scale)).toEqual([0.5, 2, 1, 2])
  mkdirSync(join(folder, 'empty'))
  await expect(openAdapter(join(folder, 'empty'), config)).rejects.toThrow(/adapter_config\.json is missing/)
})
