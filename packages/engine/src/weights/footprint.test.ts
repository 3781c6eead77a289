import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { writeTinyModel } from '../testing/tiny-models.ts'
import { describeModel } from './describe-model.ts'
import { footprintOf } from './footprint.ts'
import { openModel } from './open-model.ts'
import { resolveStageWeights } from './stage-weights.ts'

const root = mkdtempSync(join(tmpdir(), 'deos-footprint-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

test.each(['native', 'F16', 'Q8_0', 'Q4_K'] as const)('counts what stages in %s load', async (type) => {
  const directory = join(root, type)
  await writeTinyModel({ directory, family: 'qwen3_moe' })
  const source = await openModel(directory)
  const footprint = footprintOf(source, type)
  const load = async (part: { layer: number | null; embedding: boolean; head: boolean }) => {
    const { layer, ...ends } = part
    const layers = layer === null ? { first: 0, end: 0 } : { first: layer, end: layer + 1 }
    const tensors = await resolveStageWeights({
      source,
      layers,
      ...ends,
      type,
      cacheDir: join(root, 'cache'),
    })
    return tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  }
  for (const [layer, size] of footprint.layerBytes.entries()) {
    expect(await load({ layer, embedding: false, head: false })).toBe(size)
  }
  expect(await load({ layer: null, embedding: true, head: false })).toBe(footprint.embeddingBytes)
  expect(await load({ layer: null, embedding: false, head: true })).toBe(footprint.headBytes)
})

test('of a tied head, both ends hold the embedding', async () => {
  const directory = join(root, 'tied')
  await writeTinyModel({ directory, family: 'llama', config: { tiedEmbeddings: true } })
  const source = await openModel(directory)
  const footprint = footprintOf(source, 'native')
  expect(footprint).toMatchObject({
    weightType: 'BF16',
    boundaryBytes: 64 * 4,
    // Heads of 16 are kept in F32.
    kvBytesPerLayer: 2 * 2 * 16 * 4,
  })
  expect(footprint.headBytes).toBe(footprint.embeddingBytes + 64 * 4)
  expect(footprint.layerBytes).toEqual(describeModel(source).layers.map(({ bytes }) => bytes.BF16))
})
