import { mkdtempSync, rmSync } from 'node:fs'
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type TinyModelOptions, writeTinyModel } from '../testing/tiny-models.ts'
import { ModelFileError } from './errors.ts'
import { openModel } from './open-model.ts'
import { readSafetensors } from './safetensors.ts'
import { readTensor } from './tensor-data.ts'

const folder = mkdtempSync(join(tmpdir(), 'deos-assembled-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const layer = 'model.layers.1.'
const count = 8

/** Canonical tensors of the tiny model as float32, and what lies in its files. */
async function written(options: Omit<TinyModelOptions, 'directory'>) {
  const directory = mkdtempSync(join(folder, 'model-'))
  const config = await writeTinyModel({ directory, ...options })
  const source = await openModel(directory)
  const stored = await readSafetensors(join(directory, 'model.safetensors'))
  return {
    config,
    ours: (name: string) => readTensor(source.tensors.get(`blk.1.${name}`)!),
    theirs: (name: string) => readTensor(stored.tensors.get(layer + name)!),
    bytes: async (name: string) => {
      const { file, offset, sizeBytes } = stored.tensors.get(layer + name)!
      return (await readFile(file)).subarray(offset, offset + sizeBytes)
    },
  }
}

/** `[columns, rows]` of one expert out of a stack. */
const matrixOf = (stack: Float32Array, expert: number) =>
  stack.subarray((expert * stack.length) / count, ((expert + 1) * stack.length) / count)

test('experts in tensors of their own are stacked', async () => {
  const { ours, theirs } = await written({ family: 'mixtral' })
  for (const [projection, theirName] of Object.entries({ gate: 'w1', up: 'w3', down: 'w2' })) {
    const stack = await ours(`ffn_${projection}_exps.weight`)
    for (let expert = 0; expert < count; expert += 1) {
      const own = await theirs(`block_sparse_moe.experts.${expert}.${theirName}.weight`)
      expect(matrixOf(stack, expert), `${projection} of expert ${expert}`).toEqual(own)
    }
  }
})

describe('columns of a stack become rows', () => {
  /** Stored as `[experts, inputs, outputs]`; `output` says which of them is a row's. */
  function expectRows(
    stack: Float32Array,
    stored: Float32Array,
    [inputs, outputs]: readonly [number, number],
    output: (row: number) => number,
  ): void {
    const rows = stack.length / count / inputs
    for (let expert = 0; expert < count; expert += 1) {
      for (let row = 0; row < rows; row += 1) {
        for (let input = 0; input < inputs; input += 1) {
          const ours = stack[(expert * rows + row) * inputs + input]
          const theirs = stored[(expert * inputs + input) * outputs + output(row)]
          if (ours !== theirs)
            expect.fail(`expert ${expert}, row ${row}, column ${input}: ${ours}, not ${theirs}`)
        }
      }
    }
  }

  test('llama4: gate and up side by side', async () => {
    const { config, ours, theirs } = await written({ family: 'llama4_text', dtype: 'F32' })
    const { hiddenSize, experts } = config
    const size = experts!.feedForwardSize
    const both = await theirs('feed_forward.experts.gate_up_proj')
    expectRows(await ours('ffn_gate_exps.weight'), both, [hiddenSize, 2 * size], (row) => row)
    expectRows(await ours('ffn_up_exps.weight'), both, [hiddenSize, 2 * size], (row) => size + row)
    const down = await theirs('feed_forward.experts.down_proj')
    expectRows(await ours('ffn_down_exps.weight'), down, [size, hiddenSize], (row) => row)
  })

  test('gpt-oss: gate and up in turns, biases too', async () => {
    const { config, ours, theirs } = await written({ family: 'gpt_oss', packed: false })
    const { hiddenSize, experts } = config
    const size = experts!.feedForwardSize
    const both = await theirs('mlp.experts.gate_up_proj')
    expectRows(await ours('ffn_gate_exps.weight'), both, [hiddenSize, 2 * size], (row) => 2 * row)
    expectRows(await ours('ffn_up_exps.weight'), both, [hiddenSize, 2 * size], (row) => 2 * row + 1)
    const down = await theirs('mlp.experts.down_proj')
    expectRows(await ours('ffn_down_exps.weight'), down, [size, hiddenSize], (row) => row)
    const biases = await theirs('mlp.experts.gate_up_proj_bias')
    expect(await ours('ffn_gate_exps.bias')).toEqual(biases.filter((_, index) => index % 2 === 0))
    expect(await ours('ffn_up_exps.bias')).toEqual(biases.filter((_, index) => index % 2 === 1))
  })
})

test('MXFP4 with scales apart keeps its values', async () => {
  const { config, ours, bytes } = await written({ family: 'gpt_oss' })
  const size = config.experts!.feedForwardSize
  // Open Compute Project, "OCP Microscaling Formats (MX) Specification" 1.0, section 5.3: E2M1, and E8M0 with bias 127.
  const sizes = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
  // ggml knows no negative zero here.
  const value = (bits: number) => (bits > 8 ? -1 : 1) * sizes[bits & 7]!
  const decode = async (name: string) => {
    const [blocks, scales] = [
      await bytes(`mlp.experts.${name}_blocks`),
      await bytes(`mlp.experts.${name}_scales`),
    ]
    return Float32Array.from({ length: 2 * blocks.length }, (_, index) => {
      const byte = blocks[index >> 1]!
      return value(index % 2 === 0 ? byte & 15 : byte >> 4) * 2 ** (scales[Math.floor(index / 32)]! - 127)
    })
  }
  const both = await decode('gate_up_proj')
  const rowsOf = (which: number) =>
    both.filter((_, index) => Math.floor(index / config.hiddenSize) % 2 === which)
  expect(await ours('ffn_gate_exps.weight')).toEqual(rowsOf(0))
  expect(await ours('ffn_up_exps.weight')).toEqual(rowsOf(1))
  const down = await decode('down_proj')
  expect(down).toHaveLength(count * config.hiddenSize * size)
  expect(await ours('ffn_down_exps.weight')).toEqual(down)
})

describe('refuses', () => {
  async function folderOf(
    family: TinyModelOptions['family'],
    change: (tensors: Map<string, unknown>) => void,
  ) {
    const directory = mkdtempSync(join(folder, 'model-'))
    await writeTinyModel({ directory, family, shards: 1 })
    const path = join(directory, 'model.safetensors')
    const data = await readFile(path)
    const length = Number(data.readBigUInt64LE())
    const header = JSON.parse(data.toString('utf8', 8, 8 + length)) as Record<string, unknown>
    const tensors = new Map(Object.entries(header))
    change(tensors)
    const json = Buffer.from(JSON.stringify(Object.fromEntries(tensors)).padEnd(length, ' '))
    json.copy(data, 8)
    await writeFile(path, data)
    return { directory, path }
  }

  const expert = `${layer}block_sparse_moe.experts.3.w1.weight`

  test('an expert that is missing, by its name in the file', async () => {
    const { directory } = await folderOf('mixtral', (tensors) => {
      tensors.set(expert.replace('.3.', '.9.'), tensors.get(expert))
      tensors.delete(expert)
    })
    await expect(openModel(directory)).rejects.toThrow(/experts\.3\.w1\.weight is missing/)
  })

  test('an expert of another shape', async () => {
    const { directory } = await folderOf('mixtral', (tensors) => {
      const tensor = tensors.get(expert) as { shape: number[] }
      tensors.set(expert, { ...tensor, shape: tensor.shape.toReversed() })
    })
    await expect(openModel(directory)).rejects.toThrow(
      /experts\.3\.w1\.weight has the shape \[64, 128\].*\[128, 64\]/,
    )
  })

  test('numbers where packed bytes should be', async () => {
    const scales = `${layer}mlp.experts.down_proj_scales`
    const { directory } = await folderOf('gpt_oss', (tensors) => {
      const { shape, ...tensor } = tensors.get(scales) as { shape: number[] }
      tensors.set(scales, { ...tensor, dtype: 'F16', shape: [shape[0], shape[1], 1] })
    })
    await expect(openModel(directory)).rejects.toThrow(ModelFileError)
  })

  test('a file that became shorter', async () => {
    const directory = mkdtempSync(join(folder, 'model-'))
    await writeTinyModel({ directory, family: 'mixtral' })
    const source = await openModel(directory)
    await truncate(join(directory, 'model.safetensors'), 100_000)
    const attempt = readTensor(source.tensors.get('blk.3.ffn_down_exps.weight')!)
    await expect(attempt).rejects.toThrow(ModelFileError)
  })
})
