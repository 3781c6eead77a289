import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DomainError, type Random, seededRandom } from '@deos/domain'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { tensorBytes } from '../ggml/tensor-type.ts'
import { type WritableTensor, writeSafetensors } from '../testing/safetensors-writer.ts'
import { type TinyModelOptions, tinyConfig, writeTinyModel } from '../testing/tiny-models.ts'
import { convertModel } from './convert-model.ts'
import { describeModel } from './describe-model.ts'
import { openModel } from './open-model.ts'
import { readSafetensors } from './safetensors.ts'
import { resolveStageWeights } from './stage-weights.ts'
import { readTensor } from './tensor-data.ts'

let root: string
let counter = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'deos-float8-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

/**
 * Magnitudes of E4M3 by code: within a binade of eight codes numbers are evenly spaced; the spacing begins at 2^-9 and
 * doubles from each binade to the next but the subnormals' (OCP OFP8 1.0, section 5.1).
 */
const magnitudes: readonly number[] = (() => {
  const list = [0]
  for (let code = 1; code < 127; code += 1) list.push(list.at(-1)! + 2 ** (Math.max(1, (code - 1) >> 3) - 10))
  return list
})()

test('the reference has the values that the specification names', () => {
  expect(magnitudes[1]).toBe(2 ** -9)
  expect(magnitudes[7]).toBe(0.875 * 2 ** -6)
  expect(magnitudes[8]).toBe(2 ** -6)
  expect(magnitudes[0x38]).toBe(1)
  expect(magnitudes[0x7e]).toBe(448)
})

interface Options extends Omit<TinyModelOptions, 'directory' | 'dtype'> {
  readonly block?: readonly [rows: number, columns: number]
  readonly scaleType?: 'F32' | 'BF16'
  readonly scaleSuffix?: string
}

interface Written {
  /** With FP8 matrices. */
  readonly float8: string
  /** The same numbers in F32. */
  readonly plain: string
}

/** Writes a tiny model whose projections are random FP8, and what it holds according to the reference. */
async function writeBoth(options: Options): Promise<Written> {
  const { block = [128, 128], scaleType = 'F32', scaleSuffix = '_scale_inv', ...tiny } = options
  const folder = join(root, String(counter++))
  const [float8, plain] = [join(folder, 'float8'), join(folder, 'plain')]
  for (const directory of [float8, plain]) {
    await writeTinyModel({ ...tiny, directory, dtype: 'F32', tokenizer: false })
  }
  const path = join(plain, 'model.safetensors')
  const data = await readFile(path)
  const random = seededRandom(11)
  const coded: WritableTensor[] = []
  const decoded: WritableTensor[] = []
  for (const { name, shape, offset, sizeBytes } of (await readSafetensors(path)).tensors.values()) {
    const extents = shape.toReversed()
    const isMatrix = /_proj(\.weight)?$|\.w[123]\.weight$/.test(name)
    if (!isMatrix) {
      const same = {
        name,
        dtype: 'F32' as const,
        shape: extents,
        data: data.subarray(offset, offset + sizeBytes),
      }
      coded.push(same)
      decoded.push(same)
      continue
    }
    const matrix = randomMatrix(extents, block, scaleType, random)
    coded.push(
      { name, dtype: 'F8_E4M3', shape: extents, data: matrix.codes },
      { name: name + scaleSuffix, dtype: scaleType, shape: matrix.scaleShape, data: matrix.scales },
    )
    decoded.push({ name, dtype: 'F32', shape: extents, data: new Uint8Array(matrix.values.buffer) })
  }
  await writeSafetensors(join(float8, 'model.safetensors'), coded)
  await writeSafetensors(path, decoded)
  await editConfig(float8, { quantization_config: quantization({ weight_block_size: block }) })
  return { float8, plain }
}

const quantization = (rest: object) => ({
  activation_scheme: 'dynamic',
  fmt: 'e4m3',
  quant_method: 'fp8',
  ...rest,
})

async function editConfig(folder: string, change: object): Promise<void> {
  const path = join(folder, 'config.json')
  await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), ...change }))
}

/** @param shape - `[matrices?, rows, columns]` */
function randomMatrix(
  shape: readonly number[],
  [blockRows, blockColumns]: readonly [number, number],
  scaleType: 'F32' | 'BF16',
  random: Random,
) {
  const [rows, columns] = shape.slice(-2) as [number, number]
  const [down, across] = [Math.ceil(rows / blockRows), Math.ceil(columns / blockColumns)]
  const matrices = shape.length === 3 ? shape[0]! : 1
  const factors = Float32Array.from(
    { length: matrices * down * across },
    () => 1e-4 * (1 + 9 * random.next()),
  )
  const bits = new Uint32Array(factors.buffer)
  if (scaleType === 'BF16') for (const [index, value] of bits.entries()) bits[index] = value & 0xffff0000
  const count = matrices * rows * columns
  const codes = Uint8Array.from(
    { length: count },
    () => Math.floor(127 * random.next()) + (random.next() < 0.5 ? 128 : 0),
  )
  const values = new Float32Array(count)
  let at = 0
  for (let matrix = 0; matrix < matrices; matrix += 1) {
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1, at += 1) {
        const magnitude = magnitudes[codes[at]! % 128]!
        const scale =
          factors[(matrix * down + Math.floor(row / blockRows)) * across + Math.floor(column / blockColumns)]!
        values[at] = (codes[at]! < 128 ? magnitude : -magnitude) * scale
      }
    }
  }
  const scales =
    scaleType === 'F32'
      ? new Uint8Array(factors.buffer)
      : new Uint8Array(Uint16Array.from(bits, (value) => value >>> 16).buffer)
  return { codes, values, scales, scaleShape: [...shape.slice(0, -2), down, across] }
}

async function expectSame({ float8, plain }: Written): Promise<void> {
  const ours = (await openModel(float8)).tensors
  const theirs = (await openModel(plain)).tensors
  expect([...ours.keys()]).toEqual([...theirs.keys()])
  let scaled = 0
  for (const [name, tensor] of ours) {
    const values = await readTensor(tensor)
    expect(
      Buffer.from(values.buffer).equals(Buffer.from((await readTensor(theirs.get(name)!)).buffer)),
      name,
    ).toBe(true)
    if (tensor.type === 'BF16') scaled += 1
  }
  expect(scaled).toBeGreaterThan(0)
}

describe('FP8 in blocks is read as the numbers it stands for', () => {
  // 200 and 330 are no multiples of 128, and above it.
  const uneven = { layers: 2, hiddenSize: 200, feedForwardSize: 330, headDim: 50 }

  test('in matrices whose rows are reordered', async () => {
    await expectSame(await writeBoth({ family: 'llama', config: uneven }))
  })

  test('with scales in BF16 and other blocks', async () => {
    await expectSame(await writeBoth({ family: 'qwen3', config: uneven, scaleType: 'BF16', block: [64, 32] }))
  })

  test('in latent attention, where keys are transposed, and in stacks of experts', async () => {
    const config = {
      ...{ layers: 3, hiddenSize: 200, feedForwardSize: 330, heads: 8 },
      experts: {
        ...tinyConfig('deepseek_v3').experts!,
        ...{ count: 8, groups: 2, groupsUsed: 1, feedForwardSize: 136, sharedFeedForwardSize: 136 },
      },
      latentAttention: { queryRank: 140, kvRank: 136, valueDim: 30 },
    }
    await expectSame(await writeBoth({ family: 'deepseek_v3', config }))
    await expectSame(await writeBoth({ family: 'deepseek_v3', config, block: [5, 7] }))
  })

  test('in experts that lie in one tensor by columns, with the scales of newer files', async () => {
    const scaleSuffix = '_scales_inv'
    const config = { layers: 4, hiddenSize: 200 }
    await expectSame(await writeBoth({ family: 'llama4_text', config, scaleSuffix }))
  })
})

test('a converted model holds BF16, or any type made from the exact numbers', async () => {
  const { float8, plain } = await writeBoth({
    family: 'mixtral',
    config: {
      ...{ layers: 2, hiddenSize: 160, feedForwardSize: 320, headDim: 40 },
      experts: { ...tinyConfig('mixtral').experts!, feedForwardSize: 320 },
    },
  })
  const convert = async (folder: string, type: 'native' | 'BF16' | 'Q8_0') => {
    const output = join(folder, `${type}.gguf`)
    await convertModel({ source: await openModel(folder), type, output })
    return (await openModel(output)).tensors
  }
  for (const [type, same] of [
    ['native', 'BF16'],
    ['Q8_0', 'Q8_0'],
  ] as const) {
    const ours = await convert(float8, type)
    const theirs = await convert(plain, same)
    const name = 'blk.1.ffn_down_exps.weight'
    expect(ours.get(name)!.type).toBe(same)
    expect(await readTensor(ours.get(name)!)).toEqual(await readTensor(theirs.get(name)!))
  }
})

test('a stage gets BF16 that it can use in place', async () => {
  const { float8, plain } = await writeBoth({ family: 'llama', config: { layers: 2 } })
  const [source, expected] = [await openModel(float8), (await openModel(plain)).tensors]
  const weights = await resolveStageWeights({
    ...{ source, layers: { first: 1, end: 2 }, embedding: false, head: false },
    ...{ type: 'native', cacheDir: join(float8, 'cache') },
  })
  const found = weights.find(({ name }) => name === 'blk.1.attn_k.weight')!
  expect(found.type).toBe('BF16')
  expect(found.parts).toBeUndefined()
  const wanted = await readTensor(expected.get(found.name)!)
  for (const [index, value] of (await readTensor(found)).entries()) {
    // BF16 has 8 significant bits.
    expect(Math.abs(value - wanted[index]!)).toBeLessThanOrEqual(Math.abs(wanted[index]!) * 2 ** -8)
  }
  expect(describeModel(source).storedBytes).toBe(
    [...source.tensors.values()].reduce((sum, { type, shape }) => sum + tensorBytes(type, shape), 0),
  )
})

describe('is refused', () => {
  let folder: string
  beforeEach(async () => {
    folder = (await writeBoth({ family: 'qwen3', config: { layers: 1 } })).float8
  })

  async function refusal(): Promise<string> {
    const error = await openModel(folder).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(DomainError)
    return (error as DomainError).message
  }

  test.each<[string, object, RegExp]>([
    ['without blocks', quantization({ weight_block_size: null }), /not scaled in blocks/],
    ['in E5M2', quantization({ fmt: 'e5m2', weight_block_size: [128, 128] }), /format "e5m2"/],
    ['with one extent', quantization({ weight_block_size: [128] }), /weight_block_size" is \[128\]/],
    ['with an extent of 0', quantization({ weight_block_size: [0, 128] }), /weight_block_size" is \[0,128\]/],
    [
      'with other blocks than scales',
      quantization({ weight_block_size: [8, 128] }),
      /blocks of 8 by 128 in \[\d+, 64\] need/,
    ],
    ['by another method', { quant_method: 'gptq' }, /quantised by "gptq"/],
  ])('%s', async (_, quantization_config, message) => {
    await editConfig(folder, { quantization_config })
    expect(await refusal()).toMatch(message)
  })

  test('without a configuration', async () => {
    await editConfig(folder, { quantization_config: null })
    expect(await refusal()).toMatch(/stored as F8_E4M3, and config.json does not say/)
  })

  test('without scales', async () => {
    folder = (await writeBoth({ family: 'qwen3', config: { layers: 1 }, scaleSuffix: '_zoom' })).float8
    expect(await refusal()).toMatch(/tensor model\.layers\.0\.self_attn\.q_proj\.weight_scale_inv is missing/)
  })

  test('with NaN, when it is read', async () => {
    const path = join(folder, 'model.safetensors')
    const { tensors } = await readSafetensors(path)
    const data = await readFile(path)
    data[tensors.get('model.layers.0.mlp.up_proj.weight')!.offset + 77] = 0xff
    await writeFile(path, data)
    const tensor = (await openModel(folder)).tensors.get('blk.0.ffn_up.weight')!
    await expect(readTensor(tensor)).rejects.toThrow(/holds the value NaN/)
  })
})
