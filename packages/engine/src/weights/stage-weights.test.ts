import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TinyModelOptions, writeTinyModel } from '../testing/tiny-models.ts'
import { convertModel } from './convert-model.ts'
import type { ModelSource, TensorInfo } from './model-source.ts'
import { openModel } from './open-model.ts'
import { resolveStageWeights, type StageWeightsRequest } from './stage-weights.ts'
import { readTensor } from './tensor-data.ts'

let root: string
let counter = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'deos-stage-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

const newFolder = () => join(root, String(counter++))

async function tiny(options: Partial<TinyModelOptions> = {}): Promise<ModelSource> {
  const directory = newFolder()
  await writeTinyModel({ directory, family: 'llama', tokenizer: false, ...options })
  return openModel(directory)
}

async function tinyGguf(options: Partial<TinyModelOptions> = {}): Promise<ModelSource> {
  const output = `${newFolder()}.gguf`
  await convertModel({ source: await tiny(options), type: 'native', output })
  return openModel(output)
}

const whole = (source: ModelSource, rest: Partial<StageWeightsRequest> = {}): StageWeightsRequest => ({
  source,
  layers: { first: 0, end: source.config.layers },
  embedding: true,
  head: true,
  type: 'Q8_0',
  cacheDir: newFolder(),
  ...rest,
})

const names = (tensors: readonly TensorInfo[]) => tensors.map(({ name }) => name).sort()
const files = (tensors: readonly TensorInfo[]) => [...new Set(tensors.map(({ file }) => file))].sort()

test.each(['mixtral', 'gpt_oss'] as const)('puts experts of a %s folder together', async (family) => {
  const source = await tiny({ family })
  const output = `${newFolder()}.gguf`
  await convertModel({ source, type: 'native', output })
  const converted = (await openModel(output)).tensors
  const resolved = await resolveStageWeights(whole(source, { type: 'native' }))
  expect(names(resolved)).toEqual([...converted.keys()].sort())
  for (const tensor of resolved) {
    const wanted = converted.get(tensor.name)!
    expect(tensor.parts).toBeUndefined()
    expect(tensor.type).toBe(wanted.type)
    expect(await readTensor(tensor)).toEqual(await readTensor(wanted))
  }
  const experts = resolved.find(({ name }) => name === 'blk.0.ffn_up_exps.weight')
  expect(experts?.type).toBe(family === 'gpt_oss' ? 'MXFP4' : 'BF16')
})

describe('a stage gets exactly its tensors', () => {
  test('layers only', async () => {
    const source = await tiny()
    const resolved = await resolveStageWeights(
      whole(source, { layers: { first: 1, end: 3 }, embedding: false, head: false }),
    )
    const own = [...source.tensors.keys()].filter((name) => /^blk\.[12]\./.test(name))
    expect(names(resolved)).toEqual(own.sort())
  })

  test('embedding and head of an untied model', async () => {
    const source = await tiny()
    const none = { first: 0, end: 0 }
    const first = await resolveStageWeights(whole(source, { layers: none, head: false }))
    const last = await resolveStageWeights(whole(source, { layers: none, embedding: false }))
    expect(names(first)).toEqual(['token_embd.weight'])
    expect(names(last)).toEqual(['output.weight', 'output_norm.weight'])
  })

  test('a tied head needs the embedding, once', async () => {
    const source = await tiny({ family: 'qwen2' })
    const none = { first: 0, end: 0 }
    const last = await resolveStageWeights(whole(source, { layers: none, embedding: false }))
    expect(names(last)).toEqual(['output_norm.weight', 'token_embd.weight'])
    const both = await resolveStageWeights(whole(source, { layers: none }))
    expect(names(both)).toEqual(['output_norm.weight', 'token_embd.weight'])
  })

  test('frequency factors go to every stage, made from config.json where there is no tensor', async () => {
    const ropeScaling = {
      type: 'llama3',
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalContext: 64,
    } as const
    const folder = await tiny({ config: { ropeScaling } })
    const gguf = await tinyGguf({ config: { ropeScaling } })
    for (const source of [folder, gguf]) {
      const request = whole(source, { layers: { first: 2, end: 3 }, embedding: false, head: false })
      const factors = (await resolveStageWeights(request)).find(({ name }) => name === 'rope_freqs.weight')!
      expect(factors).toMatchObject({ type: 'F32', shape: [8] })
      expect((await readTensor(factors)).at(-1)).toBe(8)
    }
  })

  test('layers outside the model are refused', async () => {
    const source = await tiny()
    const request = whole(source, { layers: { first: 2, end: 5 } })
    await expect(resolveStageWeights(request)).rejects.toThrow('Layers [2, 5) are not in a model of 4.')
  })
})

describe('form', () => {
  test.each(['F32', 'F16', 'BF16', 'Q8_0', 'native'] as const)(
    '%s: right type, order and place',
    async (type) => {
      const source = await tiny()
      for (const tensor of await resolveStageWeights(whole(source, { type }))) {
        const matrix = type === 'native' ? 'BF16' : type
        expect(tensor.type).toBe(tensor.shape.length === 1 ? 'F32' : matrix)
        expect(tensor.permuteHeads).toBeUndefined()
        expect(tensor.offset % 32).toBe(0)
        const original = await readTensor(source.tensors.get(tensor.name)!)
        const stored = await readTensor(tensor)
        if (type !== 'Q8_0' && type !== 'F16') {
          expect(Buffer.from(stored.buffer).equals(Buffer.from(original.buffer))).toBe(true)
        }
        const worst = Math.max(...stored.map((value, index) => Math.abs(value - original[index]!)))
        expect(worst).toBeLessThan(0.01)
      }
    },
  )

  test('what a GGUF file already has in that form is used where it lies', async () => {
    const source = await tinyGguf({ dtype: 'F16' })
    const request = whole(source, { type: 'native' })
    expect(files(await resolveStageWeights(request))).toEqual([source.path])
    expect(existsSync(request.cacheDir)).toBe(false)
    const converted = await resolveStageWeights(whole(source, { type: 'Q8_0' }))
    for (const { name, file, shape } of converted) {
      expect(file === source.path, name).toBe(shape.length === 1)
    }
  })
})

describe('cache', () => {
  test('is one file per layer, used again by the next caller', async () => {
    const source = await tiny()
    const request = whole(source)
    const first = await resolveStageWeights(request)
    expect(files(first)).toHaveLength(source.config.layers + 2)
    const written = await Promise.all(files(first).map(async (file) => (await stat(file)).mtimeMs))
    const again = await resolveStageWeights({ ...request, layers: { first: 1, end: 4 } })
    expect(files(again).every((file) => files(first).includes(file))).toBe(true)
    expect(await Promise.all(files(first).map(async (file) => (await stat(file)).mtimeMs))).toEqual(written)
  })

  test('keeps models and types apart', async () => {
    const cacheDir = newFolder()
    const [a, b] = [await tiny({ seed: 1 }), await tiny({ seed: 2 })]
    const places = await Promise.all([
      resolveStageWeights(whole(a, { cacheDir })),
      resolveStageWeights(whole(a, { cacheDir, type: 'F16' })),
      resolveStageWeights(whole(b, { cacheDir })),
    ])
    expect(new Set(places.map((tensors) => dirname(tensors[0]!.file))).size).toBe(3)
  })

  test('many callers at once get the same, and no temporary file stays', async () => {
    const source = await tiny()
    const request = whole(source)
    const results = await Promise.all(Array.from({ length: 6 }, () => resolveStageWeights(request)))
    for (const result of results) expect(result).toEqual(results[0])
    const listed = await readdir(dirname(results[0]![0]!.file))
    expect(listed.sort()).toEqual(files(results[0]!).map((file) => file.split('/').at(-1)))
  })

  test.each<[string, (data: Buffer) => Uint8Array]>([
    ['truncated', (data) => data.subarray(0, data.length - 32)],
    ['empty', () => new Uint8Array(0)],
    ['overwritten', (data) => Buffer.from(data).fill(0xff, 0, 64)],
    [
      'of another model',
      (data) => Buffer.from(data.toString('latin1').replace(/[0-9a-f]{64}/, '0'.repeat(64)), 'latin1'),
    ],
  ])('makes a file anew that is %s', async (_, damage) => {
    const source = await tiny()
    const request = whole(source)
    const before = await resolveStageWeights(request)
    const { file } = before.find(({ name }) => name === 'blk.2.ffn_up.weight')!
    const sound = await readFile(file)
    await writeFile(file, damage(sound))
    const after = await resolveStageWeights(request)
    expect(await readFile(file)).toEqual(sound)
    expect(after).toEqual(before)
  })

  test('clears away what a killed process left long ago, not what another is writing', async () => {
    const source = await tiny()
    const request = whole(source)
    const first = (await resolveStageWeights(request)).find(({ name }) => name.startsWith('blk.0.'))!
    const [old, fresh] = [`${first.file}.1.old.tmp`, `${first.file}.2.fresh.tmp`]
    for (const path of [old, fresh]) await writeFile(path, 'half a file')
    await utimes(old, new Date(0), new Date(0))
    await rm(first.file)
    await resolveStageWeights(request)
    expect([existsSync(old), existsSync(fresh)]).toEqual([false, true])
  })

  test('an abort leaves complete files only', async () => {
    const source = await tiny()
    const abort = new AbortController()
    const request = whole(source, {
      signal: abort.signal,
      onProgress: ({ doneBytes, totalBytes }) => {
        if (doneBytes > totalBytes / 2) abort.abort(new Error('enough'))
      },
    })
    await expect(resolveStageWeights(request)).rejects.toThrow('enough')
    const place = join(request.cacheDir, (await readdir(request.cacheDir))[0]!, 'Q8_0')
    expect((await readdir(place)).some((name) => name.endsWith('.tmp'))).toBe(false)
  })

  test('progress reaches its total, converted or found', async () => {
    const source = await tiny()
    const request = whole(source)
    for (let round = 0; round < 2; round += 1) {
      let last = { doneBytes: 0, totalBytes: -1 }
      await resolveStageWeights({ ...request, onProgress: (progress) => (last = progress) })
      expect(last.doneBytes).toBe(last.totalBytes)
    }
  })
})
