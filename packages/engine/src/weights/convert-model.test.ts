import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { argmax, LlamaCppModel, llamaCppAvailability } from '../testing/llama-cpp/index.ts'
import { syntheticShapes, writeSyntheticModel } from '../testing/synthetic-model.ts'
import {
  type TinyFamily,
  type TinyModelOptions,
  tinyFamilies,
  writeTinyModel,
} from '../testing/tiny-models.ts'
import { convertModel } from './convert-model.ts'
import { readGgufHeader } from './gguf-reader.ts'
import { openModel } from './open-model.ts'
import { readTensor } from './tensor-data.ts'

const llamaCpp = llamaCppAvailability()
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'deos-convert-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function tiny(name: string, options: Omit<TinyModelOptions, 'directory'>) {
  const directory = join(folder, name)
  await writeTinyModel({ directory, ...options })
  return openModel(directory)
}

/** Comparing bytes is much faster than comparing elements. */
const bytesOf = (values: Float32Array) => Buffer.from(values.buffer)

/** GGUF keeps fractions in single precision. */
function roughly(value: unknown): unknown {
  if (typeof value === 'number') return Number.isInteger(value) ? value : expect.closeTo(value, 6)
  if (Array.isArray(value)) return value.map(roughly)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, roughly(each)]))
}

describe('round trip of a Hugging Face folder through GGUF', () => {
  test.each(tinyFamilies)('keeps shape and values of %s', async (family) => {
    const source = await tiny(`round-${family}`, { family })
    const output = join(folder, `round-${family}.gguf`)
    const report = await convertModel({ source, type: 'F32', output })
    const converted = await openModel(output)
    expect(report).toMatchObject({ output, tensors: source.tensors.size, fallbacks: [], notes: [] })
    expect(converted.config).toEqual(roughly(source.config))
    expect(converted.config.normEpsilon).toBeCloseTo(source.config.normEpsilon, 9)
    expect([...converted.tensors.keys()]).toEqual([...source.tensors.keys()])
    for (const tensor of source.tensors.values()) {
      const copy = converted.tensors.get(tensor.name)!
      expect(copy.type).toBe('F32')
      expect(copy.permuteHeads).toBeUndefined()
      expect(copy.offset % 32).toBe(0)
      expect(bytesOf(await readTensor(copy)).equals(bytesOf(await readTensor(tensor)))).toBe(true)
    }
  })

  test('reads BF16, F16 and F32 alike', async () => {
    const values = await Promise.all(
      (['BF16', 'F16', 'F32'] as const).map(async (dtype) => {
        const source = await tiny(`dtype-${dtype}`, { family: 'qwen3', dtype, seed: 7 })
        return readTensor(source.tensors.get('blk.1.ffn_up.weight')!)
      }),
    )
    const exact = values[2]!
    // Truncation loses at most one unit in the last of 8 and of 11 significant bits; F16 ends at steps of 2^-24.
    for (const [index, tolerance] of [2 ** -7, 2 ** -10].entries()) {
      const errors = values[index]!.map((value, at) => Math.abs(value - exact[at]!))
      const allowed = exact.map((value) => Math.max(Math.abs(value) * tolerance, 2 ** -24))
      expect(errors.some((error) => error > 0)).toBe(true)
      expect(errors.every((error, at) => error <= allowed[at]!)).toBe(true)
    }
  })

  test('a sharded folder opens as the same model', async () => {
    const whole = await tiny('whole', { family: 'llama' })
    const sharded = await tiny('sharded', { family: 'llama', shards: 3 })
    expect(new Set([...sharded.tensors.values()].map(({ file }) => file)).size).toBe(3)
    for (const tensor of whole.tensors.values()) {
      const other = await readTensor(sharded.tensors.get(tensor.name)!)
      expect(bytesOf(other).equals(bytesOf(await readTensor(tensor)))).toBe(true)
    }
  })
})

describe('types', () => {
  test('matrices get the type, vectors F32; rows that do not fit fall back and are reported', async () => {
    const source = await tiny('types', { family: 'llama', config: { hiddenSize: 256, feedForwardSize: 160 } })
    const output = join(folder, 'types.gguf')
    const report = await convertModel({ source, type: 'Q4_K', output })
    const { tensors, metadata } = await readGgufHeader(output)
    expect(tensors.get('blk.0.attn_q.weight')!.type).toBe('Q4_K')
    expect(tensors.get('token_embd.weight')!.type).toBe('Q4_K')
    expect(tensors.get('blk.0.attn_norm.weight')!.type).toBe('F32')
    // attn_output has rows of 4 heads x 16 = 64 elements, ffn_down of 160: both fill blocks of 32 only.
    expect(tensors.get('blk.0.ffn_down.weight')!.type).toBe('Q5_0')
    expect(report.fallbacks).toHaveLength(2 * source.config.layers)
    expect(report.fallbacks[0]).toEqual({
      tensor: 'blk.0.attn_output.weight',
      wanted: 'Q4_K',
      used: 'Q5_0',
      columns: 64,
    })
    expect(metadata.get('general.file_type')?.value).toBe(14)
  })

  test('rows that fit no block become F16', async () => {
    const source = await tiny('odd', { family: 'llama', config: { feedForwardSize: 100 } })
    const report = await convertModel({ source, type: 'Q8_0', output: join(folder, 'odd.gguf') })
    expect(report.fallbacks[0]).toMatchObject({ tensor: 'blk.0.ffn_down.weight', used: 'F16', columns: 100 })
  })

  test('native keeps matrices as they are', async () => {
    const source = await tiny('native', { family: 'qwen2', dtype: 'BF16' })
    const output = join(folder, 'native.gguf')
    await convertModel({ source, type: 'native', output })
    const { tensors, metadata } = await readGgufHeader(output)
    expect(tensors.get('blk.0.attn_q.weight')!.type).toBe('BF16')
    expect(tensors.get('blk.0.attn_q.bias')!.type).toBe('F32')
    expect(metadata.get('general.file_type')?.value).toBe(32)
  })

  test('GGUF to GGUF keeps metadata and requantises', async () => {
    const source = await tiny('requant', { family: 'llama' })
    const first = join(folder, 'requant-f16.gguf')
    const second = join(folder, 'requant-q8.gguf')
    await convertModel({ source, type: 'F16', output: first })
    await convertModel({ source: await openModel(first), type: 'Q8_0', output: second })
    const before = (await readGgufHeader(first)).metadata
    const after = (await readGgufHeader(second)).metadata
    expect(after.get('general.file_type')?.value).toBe(7)
    const rest = (metadata: typeof before) => [...metadata].filter(([key]) => key !== 'general.file_type')
    expect(rest(after)).toEqual(rest(before))
    const [original, stored] = await Promise.all([
      readTensor(source.tensors.get('blk.2.attn_q.weight')!),
      readTensor((await openModel(second)).tensors.get('blk.2.attn_q.weight')!),
    ])
    // Q8_0 keeps 127 steps of each block's largest value, here at most sqrt(3)/8 = 0.217.
    for (const [index, value] of stored.entries())
      expect(Math.abs(value - original[index]!)).toBeLessThan(0.217 / 127)
  })

  test('values that are not finite are refused by tensor', async () => {
    const source = await tiny('nan', { family: 'llama', dtype: 'F32' })
    const { file, offset } = source.tensors.get('blk.1.ffn_up.weight')!
    const data = await readFile(file)
    data.writeFloatLE(Number.NaN, offset + 400)
    await writeFile(file, data)
    const output = join(folder, 'nan.gguf')
    await expect(convertModel({ source, type: 'Q8_0', output })).rejects.toThrow(
      /tensor blk\.1\.ffn_up\.weight holds the value NaN/,
    )
    data.writeFloatLE(1e5, offset + 400)
    await writeFile(file, data)
    await expect(convertModel({ source, type: 'F16', output })).rejects.toThrow(
      /holds 100000, too large for F16/,
    )
    expect(existsSync(output)).toBe(false)
  })

  test('types without a meaning for weights are refused', async () => {
    const source = await tiny('badtype', { family: 'llama' })
    const convert = convertModel({ source, type: 'I32' as 'F32', output: join(folder, 'bad.gguf') })
    await expect(convert).rejects.toThrow(/cannot be written as I32/)
  })
})

describe('output', () => {
  test('is not overwritten unless asked', async () => {
    const source = await tiny('overwrite', { family: 'llama' })
    const output = join(folder, 'overwrite.gguf')
    await writeFile(output, 'precious')
    await expect(convertModel({ source, type: 'F16', output })).rejects.toMatchObject({
      code: 'MODEL_WRITE_FAILED',
    })
    expect(await readFile(output, 'utf8')).toBe('precious')
    await convertModel({ source, type: 'F16', output, overwrite: true })
    expect((await openModel(output)).config.layers).toBe(4)
  })

  test('an abort leaves nothing behind', async () => {
    const source = await tiny('abort', { family: 'llama' })
    const target = join(folder, 'aborted')
    const abort = new AbortController()
    const done = convertModel({
      source,
      type: 'F16',
      output: join(target, 'model.gguf'),
      signal: abort.signal,
      onProgress: ({ doneBytes, totalBytes }) => {
        if (doneBytes > totalBytes / 2) abort.abort(new Error('stop here'))
      },
    })
    await expect(done).rejects.toThrow('stop here')
    expect(await readdir(target)).toEqual([])
  })

  test('progress ends at the total', async () => {
    const source = await tiny('progress', { family: 'llama' })
    const seen: number[] = []
    let total = 0
    await convertModel({
      source,
      type: 'Q8_0',
      output: join(folder, 'progress.gguf'),
      onProgress: ({ doneBytes, totalBytes }) => {
        seen.push(doneBytes)
        total = totalBytes
      },
    })
    expect(seen.at(-1)).toBe(total)
    expect(seen).toEqual(seen.toSorted((a, b) => a - b))
  })
})

describe.skipIf(!llamaCpp.available)('llama.cpp reads what we write', () => {
  const prompt = [0, 40, 77, 105, 260, 12, 300, 9]

  test.each(['llama', 'mistral', 'qwen2', 'qwen3', 'untied qwen2'] as const)(
    '%s with tokenizer, in F16 and Q8_0',
    async (name) => {
      const family = name.replace('untied ', '') as TinyFamily
      const config = name.startsWith('untied') ? { tiedEmbeddings: false } : {}
      const source = await tiny(`cpp-${name}`, { family, config })
      for (const type of ['F16', 'Q8_0'] as const) {
        const output = join(folder, `cpp-${name}-${type}.gguf`)
        await convertModel({ source, type, output })
        const model = LlamaCppModel.open(output)
        try {
          expect(model).toMatchObject({ vocabSize: 320, layers: 4, hiddenSize: 64 })
          const logits = await model.prefill(0, prompt)
          expect(logits.every(Number.isFinite)).toBe(true)
          expect(new Set(logits).size).toBeGreaterThan(300)
        } finally {
          model.close()
        }
      }
    },
  )

  test('its tokenizer agrees on text that only merges decide', async () => {
    const source = await tiny('cpp-tokens', { family: 'llama' })
    const output = join(folder, 'cpp-tokens.gguf')
    await convertModel({ source, type: 'F16', output })
    const model = LlamaCppModel.open(output)
    try {
      const vocab = JSON.parse(await readFile(join(folder, 'cpp-tokens', 'tokenizer.json'), 'utf8')).model
        .vocab
      expect([...model.tokenize('the and of')]).toEqual([vocab.th, vocab.e, vocab.Ġand, vocab.Ġof])
    } finally {
      model.close()
    }
  })

  test('Llama 3 scaling arrives: rope_freqs changes the logits at a distance', async () => {
    const scaling = {
      type: 'llama3',
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalContext: 64,
    } as const
    const long = Array.from({ length: 200 }, (_, index) => (index * 37) % 320)
    const logits: Float32Array[] = []
    for (const ropeScaling of [{ type: 'none' } as const, scaling]) {
      const source = await tiny(`cpp-rope-${ropeScaling.type}`, { family: 'llama', config: { ropeScaling } })
      const output = join(folder, `cpp-rope-${ropeScaling.type}.gguf`)
      await convertModel({ source, type: 'F32', output })
      const model = LlamaCppModel.open(output)
      logits.push(await model.prefill(0, long))
      model.close()
    }
    expect(
      (await openModel(join(folder, 'cpp-rope-llama3.gguf'))).tensors.get('rope_freqs.weight')?.shape,
    ).toEqual([8])
    const furthest = Math.max(...logits[0]!.map((value, index) => Math.abs(value - logits[1]![index]!)))
    expect(furthest).toBeGreaterThan(0.05)
  })

  test('a model without tokenizer still has its vocabulary size', async () => {
    const source = await tiny('cpp-bare', { family: 'qwen3', tokenizer: false })
    const output = join(folder, 'cpp-bare.gguf')
    const { notes } = await convertModel({ source, type: 'F16', output })
    expect(notes).toHaveLength(1)
    const model = LlamaCppModel.open(output)
    expect(model.vocabSize).toBe(320)
    model.close()
    expect((await openModel(output)).config).toMatchObject({ vocabSize: 320, bosToken: 0, eosTokens: [1] })
  })

  test.each(['F16', 'Q8_0', 'Q4_K'] as const)(
    'a synthetic model in %s computes finite, varied logits',
    async (type) => {
      const path = join(folder, `synthetic-${type}.gguf`)
      await writeSyntheticModel({
        path,
        type,
        shape: { ...syntheticShapes['15m'], layers: 2, vocabSize: 2048 },
      })
      const model = LlamaCppModel.open(path)
      const logits = await model.prefill(0, prompt)
      expect(logits.every(Number.isFinite)).toBe(true)
      expect(new Set(logits).size).toBeGreaterThan(1000)
      model.close()
    },
  )

  const target = join(import.meta.dirname, '../../../../models/deos-7m')
  test.skipIf(!existsSync(join(target, 'model.safetensors')))(
    'the embedded model matches its reference',
    async () => {
      const output = join(folder, 'deos-7m.gguf')
      await convertModel({ source: await openModel(target), type: 'F32', output })
      const reference = JSON.parse(await readFile(join(target, 'reference.json'), 'utf8')) as {
        cases: { ids: number[]; lastLogitsTop20: [number, number][] }[]
      }
      const model = LlamaCppModel.open(output)
      for (const { ids, lastLogitsTop20 } of reference.cases) {
        model.clear()
        const logits = await model.prefill(0, ids)
        expect(argmax(logits)).toBe(lastLogitsTop20[0]![0])
        // llama.cpp keeps its KV cache in F16.
        for (const [token, value] of lastLogitsTop20)
          expect(Math.abs(logits[token]! - value)).toBeLessThan(0.02)
      }
      model.close()
    },
  )
})
