import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeSyntheticModel } from '@deos/engine/testing'
import { openModel } from '@deos/engine/weights'
import { afterAll, expect, test } from 'vitest'
import { stepBytes } from './step-bytes.ts'

const folder = mkdtempSync(join(tmpdir(), 'deos-step-bytes-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const shape = {
  ...{ layers: 2, hiddenSize: 256, feedForwardSize: 512, heads: 4, kvHeads: 2, headDim: 64 },
  vocabSize: 512,
}

async function bytesOf(tiedEmbeddings: boolean, depth: number): Promise<number> {
  const path = join(folder, `${tiedEmbeddings}.gguf`)
  await writeSyntheticModel({ path, type: 'F16', shape, tiedEmbeddings })
  return stepBytes(await openModel(path, { vocabulary: false }), depth)
}

test('a step reads layers, norms and head once, and K and V of what came before', async () => {
  const attention = 256 * (4 + 2 * 2 + 4) * 64
  const feedForward = 3 * 256 * 512
  const matrices = 2 * (attention + feedForward) + 256 * 512
  const norms = (2 * 2 + 1) * 256
  const weights = 2 * matrices + 4 * norms
  expect(await bytesOf(false, 0)).toBe(weights)
  expect(await bytesOf(true, 0)).toBe(weights)
  expect(await bytesOf(false, 10)).toBe(weights + 10 * 2 * (2 * 2 * 64) * 2)
})
