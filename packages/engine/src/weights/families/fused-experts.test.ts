import { mkdtempSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type WritableTensor, writeSafetensors } from '../../testing/safetensors-writer.ts'
import { type TinyFamily, writeTinyModel } from '../../testing/tiny-models.ts'
import { openModel } from '../open-model.ts'
import { readSafetensors } from '../safetensors.ts'
import { readTensor } from '../tensor-data.ts'

const root = mkdtempSync(join(tmpdir(), 'deos-fused-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** How a family's older files name a layer's projections of one expert, and its router. */
interface OldNames {
  readonly experts: string
  readonly gate: string
  readonly up: string
  readonly down: string
}

const plain: OldNames = {
  experts: 'mlp.experts',
  gate: 'gate_proj.weight',
  up: 'up_proj.weight',
  down: 'down_proj.weight',
}
const mixtral: OldNames = {
  experts: 'block_sparse_moe.experts',
  gate: 'w1.weight',
  up: 'w3.weight',
  down: 'w2.weight',
}

/** Fuses a folder's experts as Transformers 5 does: `[experts, 2 * size, hidden]`, gate first. */
async function fuse(folder: string, old: OldNames, change = (tensors: WritableTensor[]) => tensors) {
  const path = join(folder, 'model.safetensors')
  const data = await readFile(path)
  const { tensors } = await readSafetensors(path)
  const fused: WritableTensor[] = []
  const stacks = new Map<string, { shape: number[]; parts: Buffer[] }>()
  for (const { name, shape, offset, sizeBytes } of tensors.values()) {
    const bytes = data.subarray(offset, offset + sizeBytes)
    const expert = /^(?<layer>model\.layers\.\d+\.)(?<module>.+)\.(?<index>\d+)\.(?<which>\w+\.weight)$/.exec(
      name,
    )
    if (expert?.groups?.module !== old.experts) {
      const renamed = name.replace('block_sparse_moe.gate.', 'mlp.gate.')
      fused.push({ name: renamed, dtype: 'BF16', shape: shape.toReversed(), data: bytes })
      continue
    }
    const { layer, index, which } = expert.groups as { layer: string; index: string; which: string }
    const isDown = which === old.down
    const stackName = `${layer}mlp.experts.${isDown ? 'down_proj' : 'gate_up_proj'}`
    const stack = stacks.get(stackName) ?? { shape: shape.toReversed(), parts: [] }
    stacks.set(stackName, stack)
    const place = isDown ? Number(index) : 2 * Number(index) + (which === old.up ? 1 : 0)
    stack.parts[place] = bytes
  }
  for (const [name, { shape, parts }] of stacks) {
    const [rows, columns] = shape as [number, number]
    const perExpert = name.endsWith('down_proj') ? 1 : 2
    fused.push({
      ...{ name, dtype: 'BF16', shape: [parts.length / perExpert, perExpert * rows, columns] },
      data: Buffer.concat(parts),
    })
  }
  await writeSafetensors(path, change(fused))
}

describe.each<[TinyFamily, OldNames]>([
  ['qwen3_moe', plain],
  ['mixtral', mixtral],
  ['deepseek_v2', plain],
  ['deepseek_v3', plain],
])('fused experts of %s', (family, old) => {
  const write = async (name: string) => {
    const directory = join(root, `${family}-${name}`)
    await writeTinyModel({ directory, family, tokenizer: false, config: { layers: 3 } })
    return directory
  }

  test('are those of separate tensors', async () => {
    const [separate, folder] = [await write('separate'), await write('fused')]
    await fuse(folder, old)
    const expected = (await openModel(separate)).tensors
    const { tensors } = await openModel(folder)
    expect([...tensors.keys()]).toEqual([...expected.keys()])
    for (const [name, tensor] of tensors) {
      expect(tensor.type, name).toBe(expected.get(name)!.type)
      const [ours, theirs] = [await readTensor(tensor), await readTensor(expected.get(name)!)]
      expect(Buffer.from(ours.buffer).equals(Buffer.from(theirs.buffer)), name).toBe(true)
    }
  })

  test('of another shape are refused', async () => {
    const folder = await write('other')
    const turn = (tensor: WritableTensor): WritableTensor =>
      tensor.name.endsWith('2.mlp.experts.gate_up_proj')
        ? { ...tensor, shape: [tensor.shape[0]!, tensor.shape[2]!, tensor.shape[1]!] }
        : tensor
    // Where gate and up are as wide together as the hidden state, turning changes nothing.
    await writeTinyModel({
      directory: folder,
      family,
      tokenizer: false,
      config: { layers: 3, hiddenSize: 96, headDim: 24 },
    })
    await fuse(folder, old, (tensors) => tensors.map(turn))
    await expect(openModel(folder)).rejects.toThrow(/layers\.2\.mlp\.experts\.gate_up_proj has the shape/)
  })

  test('that are missing are named as older files name them', async () => {
    const folder = await write('missing')
    await fuse(folder, old, (tensors) => tensors.filter(({ name }) => !/2\.mlp\.(experts|gate)\./.test(name)))
    await expect(openModel(folder)).rejects.toThrow(
      new RegExp(
        `layers\\.2\\.(${old.experts.replace('experts', 'gate')}\\.weight|${old.experts}\\.0\\.${old.gate}) is missing`,
      ),
    )
  })
})
