import { mkdtempSync, rmSync } from 'node:fs'
import { copyFile, mkdir, open, readdir, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LayerRange } from '@deos/domain'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Backend } from '../ggml/backend.ts'
import { PooledSequences } from '../stage/pooled-sequences.ts'
import { Stage } from '../stage/stage.ts'
import { splitGguf } from '../testing/split-gguf.ts'
import { type TinyModelOptions, writeTinyModel } from '../testing/tiny-models.ts'
import { convertModel } from './convert-model.ts'
import { openModel } from './open-model.ts'
import { type FileRanges, readHeaders, stageRanges } from './stage-ranges.ts'
import { resolveStageWeights } from './stage-weights.ts'

const deos1m = join(import.meta.dirname, '../../../../models/deos-1m')
const root = mkdtempSync(join(tmpdir(), 'deos-ranges-'))
let backend: Backend
let counter = 0
const opened: Stage[] = []

beforeAll(() => {
  backend = Backend.open({ threads: 1 })
})
afterAll(() => {
  for (const stage of opened) stage.close()
  backend.close()
  rmSync(root, { recursive: true, force: true })
})

const newFolder = async () => {
  const folder = join(root, String(counter++))
  await mkdir(folder)
  return folder
}

/** A copy of a model whose files begin as nothing but holes. */
class SparseCopy {
  readonly copied: FileRanges[] = []

  private constructor(
    readonly folder: string,
    private readonly original: string,
    readonly names: readonly string[],
  ) {}

  static async of(original: string, names: readonly string[]): Promise<SparseCopy> {
    const folder = await newFolder()
    for (const name of names) {
      await writeFile(join(folder, name), '')
      await truncate(join(folder, name), (await stat(join(original, name))).size)
    }
    return new SparseCopy(folder, original, names)
  }

  get paths(): readonly string[] {
    return this.names.map((name) => join(this.folder, name))
  }

  readonly fill = async (file: string, range: { first: number; end: number }) => {
    this.copied.push({ file, ranges: [range] })
    const bytes = Buffer.alloc(range.end - range.first)
    const from = await open(join(this.original, file.slice(this.folder.length + 1)), 'r')
    await from.read(bytes, 0, bytes.length, range.first)
    await from.close()
    const to = await open(file, 'r+')
    await to.write(bytes, 0, bytes.length, range.first)
    await to.close()
  }
}

const cut = (layers: number): readonly LayerRange[] =>
  [
    { first: 0, end: 1 },
    { first: 1, end: layers - 1 },
    { first: layers - 1, end: layers },
  ].filter(({ first, end }) => end > first)

async function load(path: string, layers: LayerRange, fingerprint?: string): Promise<Stage> {
  const source = await openModel(path, fingerprint === undefined ? {} : { fingerprint, vocabulary: false })
  const ends = { embedding: layers.first === 0, head: layers.end === source.config.layers }
  const request = { source, layers, ...ends, type: 'native' as const, cacheDir: await newFolder() }
  const stage = await Stage.load(backend, {
    ...{ config: source.config, layers, ...ends, weights: await resolveStageWeights(request) },
    kv: { type: 'F16', pageCount: 8, pageTokens: 16 },
    maxBatchTokens: 64,
  })
  opened.push(stage)
  return stage
}

async function logitsOf(stages: readonly Stage[]): Promise<Float32Array> {
  const tokens = Int32Array.of(5, 17, 101, 33, 2, 250, 8)
  const entries = [{ sequence: 0, count: tokens.length, outputs: 'last' as const }]
  let hidden: Float32Array | null = null
  let logits = new Float32Array()
  for (const stage of stages) {
    const sequences = new PooledSequences([stage.kv.pages])
    sequences.open(0)
    sequences.extend(0, tokens.length)
    const output = await stage.forward(hidden ? { entries, hidden } : { entries, tokens })
    hidden = output.hidden.slice()
    logits = output.logits.slice()
  }
  return logits
}

const modelFiles = async (folder: string) =>
  (await readdir(folder)).filter((name) => /\.(gguf|safetensors)$|^config\.json$|\.index\.json$/.test(name))

/** Each stage in a copy that has nothing but its own bytes; the model whole, beside it. */
async function expectSameLogits(folder: string, path: string): Promise<void> {
  const source = await openModel(path)
  const { fingerprint } = source
  const stages: Stage[] = []
  for (const layers of cut(source.config.layers)) {
    const copy = await SparseCopy.of(folder, await modelFiles(folder))
    await readHeaders(copy.paths, copy.fill)
    const sparse = await openModel(copy.folder, { fingerprint })
    expect(sparse.fingerprint).toBe(fingerprint)
    const ends = { embedding: layers.first === 0, head: layers.end === source.config.layers }
    for (const { file, ranges } of stageRanges(sparse, { layers, ...ends })) {
      for (const range of ranges) await copy.fill(file, range)
    }
    stages.push(await load(copy.folder, layers, fingerprint))
  }
  const wholes = []
  for (const layers of cut(source.config.layers)) wholes.push(await load(path, layers))
  const expected = await logitsOf(wholes)
  expect(expected.some((logit) => logit !== 0)).toBe(true)
  expect(await logitsOf(stages)).toEqual(expected)
}

async function tinyGguf(options: Partial<TinyModelOptions> = {}): Promise<string> {
  const directory = await newFolder()
  await writeTinyModel({ directory, family: 'llama', ...options })
  const folder = await newFolder()
  const output = join(folder, 'tiny.gguf')
  await convertModel({ source: await openModel(directory), type: 'Q8_0', output })
  return output
}

describe('a copy with only the bytes of a stage gives the same logits', () => {
  test('of the embedded model', () => expectSameLogits(deos1m, deos1m))

  test('of a GGUF file', async () => {
    const path = await tinyGguf()
    await expectSameLogits(join(path, '..'), path)
  })

  test('of a divided GGUF file', async () => {
    const path = await tinyGguf()
    const parts = await splitGguf(path, 3)
    const folder = await newFolder()
    for (const part of parts) await copyFile(part, join(folder, part.slice(part.lastIndexOf('/') + 1)))
    await expectSameLogits(folder, folder)
  })

  test.each(['gpt_oss', 'phi3', 'deepseek_v3', 'llama4_text'] as const)(
    'of a %s folder in shards, whose tensors are put together',
    async (family) => {
      const directory = await newFolder()
      await writeTinyModel({ directory, family, shards: 3 })
      await expectSameLogits(directory, directory)
    },
  )
})

describe('stageRanges', () => {
  test('are the bytes of the stage, and all stages together all bytes', async () => {
    const source = await openModel(await tinyGguf())
    const { layers } = source.config
    const all = stageRanges(source, { layers: { first: 0, end: layers }, embedding: true, head: true })
    const sizeOf = (files: readonly FileRanges[]) =>
      files.flatMap(({ ranges }) => ranges).reduce((sum, { first, end }) => sum + end - first, 0)
    const tensors = [...source.tensors.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    expect(sizeOf(all)).toBe(tensors)
    const one = stageRanges(source, { layers: { first: 1, end: 2 }, embedding: false, head: false })
    const own = [...source.tensors.values()].filter(({ name }) => name.startsWith('blk.1.'))
    expect(sizeOf(one)).toBe(own.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))
    for (const { ranges } of all) {
      for (const [index, { first }] of ranges.entries()) {
        if (index > 0) expect(first).toBeGreaterThan(ranges[index - 1]!.end)
      }
    }
  })

  test('a head tied to the embedding needs the embedding', async () => {
    const directory = await newFolder()
    await writeTinyModel({ directory, family: 'llama', config: { tiedEmbeddings: true } })
    const source = await openModel(directory)
    const ranges = stageRanges(source, { layers: { first: 3, end: 4 }, embedding: false, head: true })
    const { offset, sizeBytes } = source.tensors.get('token_embd.weight')!
    const holds = ranges[0]!.ranges.some(({ first, end }) => first <= offset && offset + sizeBytes <= end)
    expect(holds).toBe(true)
  })

  test('refuses layers that are not in the model', async () => {
    const source = await openModel(deos1m)
    const stage = { layers: { first: 0, end: 99 }, embedding: true, head: true }
    expect(() => stageRanges(source, stage)).toThrow(RangeError)
  })
})

describe('readHeaders', () => {
  test('asks for no more than the headers of weights, and for other files whole', async () => {
    const copy = await SparseCopy.of(deos1m, ['config.json', 'tokenizer.json', 'model.safetensors'])
    await readHeaders(copy.paths, copy.fill)
    const asked = copy.copied.map(({ file, ranges }) => [file.slice(copy.folder.length + 1), ranges[0]!])
    expect(asked).toContainEqual([
      'config.json',
      { first: 0, end: (await stat(join(deos1m, 'config.json'))).size },
    ])
    expect(asked.filter(([name]) => name === 'model.safetensors')).toHaveLength(1)
  })

  test('a long GGUF header is asked for as far as it goes', async () => {
    const path = await tinyGguf({ config: { layers: 2 } })
    const { size } = await stat(path)
    const asked: number[] = []
    await readHeaders([path], async (_, { end }) => void asked.push(end))
    expect(asked.length).toBeGreaterThan(0)
    expect(Math.max(...asked)).toBeLessThanOrEqual(size)
  })

  test('passes on what went wrong', async () => {
    const need = () => Promise.reject(new Error('no source'))
    await expect(readHeaders([await tinyGguf()], need)).rejects.toThrow('no source')
  })

  test('says what is wrong with bytes that are no header', async () => {
    const copy = await SparseCopy.of(deos1m, ['model.safetensors'])
    await expect(readHeaders(copy.paths, async () => {})).rejects.toThrow(/header/)
  })
})

test('a fingerprint that is none is refused', async () => {
  await expect(openModel(deos1m, { fingerprint: '../../x' })).rejects.toThrow(RangeError)
})
