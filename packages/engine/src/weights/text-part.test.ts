import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { writeTinyModel } from '../testing/tiny-models.ts'
import { openModel } from './open-model.ts'
import { readTensor } from './tensor-data.ts'

const folder = mkdtempSync(join(tmpdir(), 'deos-text-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Makes the folder of a model of text that of one that reads images too. */
function putBesideImages(directory: string, prefix = 'language_model.'): void {
  const file = join(directory, 'config.json')
  const { architectures: _classes, model_type, ...text } = JSON.parse(readFileSync(file, 'utf8'))
  const text_config = { ...text, model_type }
  writeFileSync(
    file,
    JSON.stringify({ architectures: ['Gemma3ForConditionalGeneration'], model_type: 'gemma3', text_config }),
  )
  const weights = join(directory, 'model.safetensors')
  const data = readFileSync(weights)
  const headerEnd = 8 + Number(data.readBigUInt64LE(0))
  const header: Record<string, unknown> = JSON.parse(data.toString('utf8', 8, headerEnd))
  const renamed = Object.entries(header).map(([name, entry]) => [
    name === '__metadata__' ? name : prefix + name,
    entry,
  ])
  const dataBytes = data.length - headerEnd
  const image = { dtype: 'BF16', shape: [1, 1, 1, 1, 1], data_offsets: [dataBytes, dataBytes + 2] }
  const json = Buffer.from(
    JSON.stringify({ ...Object.fromEntries(renamed), 'vision_tower.patch.weight': image }),
  )
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  writeFileSync(weights, Buffer.concat([length, json, data.subarray(headerEnd), Buffer.alloc(2)]))
}

test('the model of text inside one that reads images opens as if it were alone', async () => {
  const [alone, inside] = ['alone', 'inside'].map((name) => join(folder, name)) as [string, string]
  for (const directory of [alone, inside]) await writeTinyModel({ directory, family: 'gemma3_text' })
  putBesideImages(inside)
  const [own, other] = [await openModel(alone), await openModel(inside)]
  expect(other.config).toEqual({ ...own.config, name: 'inside' })
  expect([...other.tensors.keys()]).toEqual([...own.tensors.keys()])
  for (const name of ['blk.1.attn_q.weight', 'blk.0.post_ffw_norm.weight']) {
    expect(await readTensor(other.tensors.get(name)!)).toEqual(await readTensor(own.tensors.get(name)!))
  }
})

test('tensors that are of neither part are refused', async () => {
  const directory = join(folder, 'audio')
  await writeTinyModel({ directory, family: 'gemma3_text' })
  putBesideImages(directory, 'audio_tower.')
  await expect(openModel(directory)).rejects.toThrow(/audio_tower\..* is not part of the Gemma 3/)
})
