import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeTinyModel } from '@deos/engine/testing'
import { openModel } from '@deos/engine/weights'
import { afterAll, expect, test } from 'vitest'
import { BenchUsageError } from '../run-bench.ts'
import { type ServeModelRequest, serveModel, vocabulary } from './serve-model.ts'

const cacheDir = mkdtempSync(join(tmpdir(), 'deos-bench-serve-'))
const request: ServeModelRequest = {
  ...{ model: null, type: 'Q8_0', quick: true, contextTokens: 5120, cacheDir },
  progress: () => undefined,
}

afterAll(() => rmSync(cacheDir, { recursive: true, force: true }))

test('the synthetic model has a tokenizer, is written once, and nothing else is left', async () => {
  const model = await serveModel(request)
  const { config, metadata } = await openModel(model.path)
  expect(metadata.get('tokenizer.ggml.tokens')).toHaveLength(config.vocabSize)
  expect(config.contextLength).toBeGreaterThan(4096)
  expect(model.ids.end).toBeLessThan(config.vocabSize)
  // K and V, 6 layers of 2 heads of 64, two bytes each.
  expect(model.kvBytesPerToken).toBe(2 * 6 * 2 * 64 * 2)
  const written = statSync(model.path).mtimeMs
  expect(await serveModel(request)).toEqual(model)
  expect(statSync(model.path).mtimeMs).toBe(written)
  expect(readdirSync(cacheDir)).toHaveLength(1)
})

test('every token has a text of its own in ASCII once decoded', () => {
  const tokens = vocabulary()
  expect(new Set(tokens).size).toBe(tokens.length)
  for (const token of tokens) expect(token.replace('Ġ', ' ').replace('Ċ', '\n')).toMatch(/^[\n\x20-\x7e]+$/)
})

test('folders and short contexts are refused with what to do', async () => {
  const folder = join(cacheDir, 'folder')
  await writeTinyModel({ directory: folder, family: 'llama' })
  await expect(serveModel({ ...request, model: folder })).rejects.toThrow(BenchUsageError)
  const { path } = await serveModel(request)
  await expect(serveModel({ ...request, model: path, contextTokens: 10_000 })).rejects.toThrow('8192')
})
