import { cp, mkdir, mkdtemp, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { DomainError } from '@deos/domain'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Backend } from '../ggml/backend.ts'
import { LlamaCppModel, llamaCppAvailability } from '../testing/llama-cpp/index.ts'
import { randomTokens, relativeDifference } from '../testing/parity/describe-parity.ts'
import { Pipeline } from '../testing/parity/pipeline.ts'
import { splitGguf } from '../testing/split-gguf.ts'
import { writeTinyModel } from '../testing/tiny-models.ts'
import { convertModel } from './convert-model.ts'
import { oneFilePerModel } from './gguf-parts.ts'
import { readGgufHeader } from './gguf-reader.ts'
import { openModel } from './open-model.ts'
import { resolveStageWeights } from './stage-weights.ts'

let root: string
/** One whole file, and its parts in folders of their own. */
let whole: string
let parts: readonly string[]
let counter = 0

async function writeModel(name: string, seed: number, layers: number): Promise<string> {
  const directory = join(root, `${name}-huggingface`)
  await writeTinyModel({ directory, family: 'llama', seed, config: { layers } })
  await mkdir(join(root, name))
  const output = join(root, name, 'tiny.gguf')
  await convertModel({ source: await openModel(directory), type: 'F32', output })
  return output
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'deos-parts-'))
  whole = await writeModel('whole', 1, 4)
})
afterAll(() => rm(root, { recursive: true, force: true }))
beforeEach(async () => {
  const folder = join(root, String(counter++))
  await mkdir(folder)
  const copy = join(folder, 'tiny.gguf')
  await cp(whole, copy)
  parts = await splitGguf(copy, 3)
  await rm(copy)
})

async function refusal(path = parts[0]!): Promise<DomainError> {
  const error = await openModel(path).catch((caught: unknown) => caught)
  expect(error).toBeInstanceOf(DomainError)
  return error as DomainError
}

test('the first part, any other and their folder open the whole model', async () => {
  const expected = await openModel(whole)
  for (const path of [...parts, dirname(parts[0]!)]) {
    const source = await openModel(path)
    expect(source.path).toBe(parts[0])
    expect(source.config).toEqual(expected.config)
    expect([...source.tensors.keys()]).toEqual([...expected.tensors.keys()])
    expect(new Set([...source.tensors.values()].map(({ file }) => file))).toEqual(new Set(parts))
    expect(source.metadata.get('tokenizer.ggml.tokens')).toEqual(
      expected.metadata.get('tokenizer.ggml.tokens'),
    )
  }
})

test('a first part without tensors is only metadata', async () => {
  const folder = join(root, 'bare')
  await mkdir(folder)
  await cp(whole, join(folder, 'tiny.gguf'))
  const [first] = await splitGguf(join(folder, 'tiny.gguf'), 3, true)
  expect((await openModel(first!)).tensors.size).toBe((await openModel(whole)).tensors.size)
})

test('a converted model is one file again', async () => {
  const output = join(dirname(parts[0]!), 'out', 'tiny.gguf')
  await convertModel({ source: await openModel(parts[1]!), type: 'native', output })
  const { metadata } = await readGgufHeader(output)
  expect([...metadata.keys()].filter((key) => key.startsWith('split.'))).toEqual([])
  expect((await readFile(output)).equals(await readFile(whole))).toBe(true)
})

test('the fingerprint covers every part', async () => {
  const before = (await openModel(parts[0]!)).fingerprint
  for (const part of parts) {
    const content = await readFile(part)
    const tensor = [...(await readGgufHeader(part)).tensors.values()][0]!
    content[tensor.offset]! ^= 1
    await writeFile(part, content)
    expect((await openModel(parts[0]!)).fingerprint).not.toBe(before)
    content[tensor.offset]! ^= 1
    await writeFile(part, content)
  }
  expect((await openModel(parts[0]!)).fingerprint).toBe(before)
})

test('a stage uses only the parts that its layers lie in', async () => {
  const source = await openModel(parts[0]!)
  const files = async (first: number, end: number) => {
    const weights = await resolveStageWeights({
      ...{ source, layers: { first, end }, type: 'native' as const },
      ...{ embedding: first === 0, head: false },
      cacheDir: join(dirname(parts[0]!), 'cache'),
    })
    return new Set(weights.map(({ file }) => basename(file)))
  }
  const names = parts.map((part) => basename(part))
  expect(await files(0, 1)).toEqual(new Set([names[0]]))
  expect(await files(3, 4)).toEqual(new Set([names[2]]))
  expect(await files(0, 4)).toEqual(new Set(names))
})

describe('is refused', () => {
  test.each([0, 1, 2])('without part %i', async (index) => {
    await rm(parts[index]!)
    const error = await refusal(parts[index === 0 ? 1 : 0])
    expect(error.message).toContain(`${parts[index]}: is missing, one of the 3 parts`)
    expect(error.hint).toMatch(/Download it into the folder/)
    expect((await refusal(dirname(parts[0]!))).message).toContain(basename(parts[index]!))
  })

  test('with a truncated part', async () => {
    await truncate(parts[1]!, (await readFile(parts[1]!)).length - 64)
    const error = await refusal()
    expect(error.message).toContain(parts[1])
    expect(error.hint).toMatch(/truncated; download it again/)
  })

  test('with a part that is no GGUF file', async () => {
    await writeFile(parts[2]!, 'oh no, a web page')
    expect((await refusal()).message).toMatch(/00003-of-00003\.gguf: is not a GGUF file/)
  })

  test('with two parts exchanged', async () => {
    await rename(parts[1]!, `${parts[1]}.tmp`)
    await rename(parts[2]!, parts[1]!)
    await rename(`${parts[1]}.tmp`, parts[2]!)
    expect((await refusal()).message).toMatch(
      /00002-of-00003\.gguf: is part 3 of 3 by its metadata, but part 2 of 3 by its name/,
    )
  })

  test('with a whole model in place of a part', async () => {
    await cp(whole, parts[1]!)
    expect((await refusal()).message).toMatch(/00002-of-00003\.gguf: holds a whole model, not part 2 of 3/)
  })

  test('with a part of a model that is divided otherwise', async () => {
    const other = await writeModel(`other-${counter}`, 2, 2)
    const [, second] = await splitGguf(other, 3)
    await cp(second!, parts[1]!)
    expect((await refusal()).message).toMatch(/tiny-0000\d-of-00003\.gguf/)
  })

  test('under another name', async () => {
    const renamed = join(dirname(parts[0]!), 'model.gguf')
    await rename(parts[0]!, renamed)
    const error = await refusal(renamed)
    expect(error.message).toMatch(/is part 1 of 3 of a model, but its name does not say so/)
    expect(error.hint).toContain('model-00001-of-00003.gguf')
  })

  test('in a folder with another model', async () => {
    await cp(whole, join(dirname(parts[0]!), 'other.gguf'))
    expect((await refusal(dirname(parts[0]!))).message).toMatch(
      /holds 2 models in GGUF files \(other\.gguf, tiny-00001-of-00003\.gguf\)/,
    )
  })
})

test.each([
  [['a.gguf'], ['a.gguf']],
  [['a-00002-of-00002.gguf', 'a-00001-of-00002.gguf'], ['a-00001-of-00002.gguf']],
  [
    ['a-00001-of-00002.gguf', 'a-00001-of-00003.gguf'],
    ['a-00001-of-00002.gguf', 'a-00001-of-00003.gguf'],
  ],
  [
    ['b-00003-of-00003.gguf', 'a-1-of-2.gguf'],
    ['a-1-of-2.gguf', 'b-00003-of-00003.gguf'],
  ],
  [[], []],
])('of %j are models %j', (files, models) => {
  expect(oneFilePerModel(files)).toEqual(models)
})

const { available } = llamaCppAvailability()
test.skipIf(!available)('llama.cpp computes the same from the same parts', async () => {
  const source = await openModel(parts[2]!)
  const prompt = randomTokens(7, 24, source.config.vocabSize)
  const backend = Backend.open({ threads: 1 })
  const ours = await Pipeline.load(backend, source, [2])
  const oracle = LlamaCppModel.open(source.path)
  try {
    ours.allocate(0)
    const logits = await ours.forward([{ sequence: 0, count: prompt.length, outputs: 'last' }], prompt)
    expect(relativeDifference(logits, await oracle.prefill(0, prompt))).toBeLessThan(1e-3)
  } finally {
    oracle.close()
    ours.close()
    backend.close()
  }
})
