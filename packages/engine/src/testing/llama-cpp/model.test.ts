import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { convertModel, openModel } from '../../weights/index.ts'
import { writeSyntheticModel } from '../synthetic-model.ts'
import { argmax, LlamaCppCallError, LlamaCppModel, llamaCppAvailability } from './index.ts'

const modelPath = join(import.meta.dirname, '../../../../../models/deos-7m')
const reference = JSON.parse(readFileSync(join(modelPath, 'reference.json'), 'utf8')) as {
  cases: { prompt: string; ids: number[]; lastLogitsTop20: [number, number][]; greedy64: number[] }[]
}
const availability = llamaCppAvailability()
const folder = mkdtempSync(join(tmpdir(), 'deos-llama-cpp-'))
const path = join(folder, 'deos-7m.gguf')
const opened: LlamaCppModel[] = []

function open(options: Parameters<typeof LlamaCppModel.open>[1] = {}): LlamaCppModel {
  const model = LlamaCppModel.open(path, options)
  opened.push(model)
  return model
}

beforeAll(async () => {
  if (!availability.available) return
  await convertModel({ source: await openModel(modelPath), type: 'F32', output: path })
})

afterAll(() => {
  for (const model of opened) model.close()
  rmSync(folder, { recursive: true, force: true })
})

const largestDifference = (a: Float32Array, b: Float32Array) =>
  a.reduce((largest, value, index) => Math.max(largest, Math.abs(value - b[index]!)), 0)

const suite = availability.available ? test : test.skip
if (!availability.available) test.skip(`llama.cpp: ${availability.reason}`, () => {})

suite('greedy tokens and logits are those of the float32 reference', async () => {
  const model = open()
  expect(model).toMatchObject({ vocabSize: 4096, layers: 8, hiddenSize: 256, trainedContext: 1024 })
  for (const { ids, lastLogitsTop20, greedy64 } of reference.cases) {
    model.clear()
    const logits = await model.prefill(0, ids)
    for (const [token, logit] of lastLogitsTop20) expect(Math.abs(logits[token]! - logit)).toBeLessThan(5e-3)
    expect(await model.greedy(ids, 64)).toEqual(greedy64)
  }
})

suite('synchronous, asynchronous and sliced evaluation agree', async () => {
  const tokens = reference.cases.flatMap(({ ids }) => ids)
  const model = open()
  const small = open({ batch: 7, microbatch: 7 })
  const logits = model.prefillSync(0, tokens)
  model.clear()
  expect(await model.prefill(0, tokens)).toEqual(logits)
  expect(largestDifference(await small.prefill(0, tokens), logits)).toBeLessThan(1e-2)
  small.clear()
  const all = await small.logitsAll(0, tokens)
  expect(all).toHaveLength(tokens.length)
  expect(largestDifference(all.at(-1)!, logits)).toBeLessThan(1e-2)
})

suite.each([false, true])(
  'sequences in one batch do not disturb each other (unified KV: %s)',
  async (unifiedKv) => {
    const model = open({ sequences: 4, unifiedKv })
    const alone = open()
    const prompts = reference.cases.slice(0, 4).map(({ ids }) => ids)
    const expected: Float32Array[] = []
    const entries: { sequence: number; token: number; position: number }[] = []
    for (const [sequence, ids] of prompts.entries()) {
      alone.clear()
      const token = argmax(await alone.prefill(0, ids))
      expect(argmax(await model.prefill(sequence, ids))).toBe(token)
      expected.push((await alone.decode([{ sequence: 0, token, position: ids.length }]))[0]!)
      entries.push({ sequence, token, position: ids.length })
    }
    const together = await model.decode(entries)
    for (const [row, logits] of together.entries())
      expect(largestDifference(logits, expected[row]!)).toBeLessThan(1e-2)
  },
)

suite('a truncated sequence continues as if the rest had never been', async () => {
  const model = open({ sequences: 2 })
  const tokens = reference.cases[0]!.ids
  const straight = await model.prefill(0, tokens)
  await model.prefill(1, [...tokens.slice(0, 2), 7, 8, 9])
  model.truncate(1, 2)
  expect(largestDifference(await model.prefill(1, tokens.slice(2), 2), straight)).toBeLessThan(1e-2)
})

suite('timings count what was evaluated', async () => {
  const model = open()
  await model.greedy([5, 6, 7], 4)
  expect(model.timings()).toMatchObject({ promptTokens: 3, decodedTokens: 3 })
  model.resetTimings()
  expect(model.timings().decodedTokens).toBeLessThanOrEqual(1)
})

suite('more threads than one compute the same', async () => {
  const { ids, greedy64 } = reference.cases[1]!
  expect(await open({ threads: 2 }).greedy(ids, 16)).toEqual(greedy64.slice(0, 16))
})

suite('text becomes tokens only with a vocabulary', async () => {
  const bare = join(folder, 'bare.gguf')
  await writeSyntheticModel({ path: bare, type: 'F16', shape: '15m' })
  const model = LlamaCppModel.open(bare)
  expect(() => model.tokenize('text')).toThrow(LlamaCppCallError)
  expect(model.vocabSize).toBe(16_384)
  model.close()
  expect(open().tokenize('The borrow checker')).toBeInstanceOf(Int32Array)
})

suite('bad input is refused before it reaches native code', async () => {
  const model = open({ context: 256 })
  const row = { sequence: 0, token: 1, position: 0, logits: true }
  await expect(model.evaluate([])).rejects.toThrow('1 to 256 rows')
  for (const bad of [{ token: 4096 }, { token: -1 }, { token: 1.5 }, { sequence: 1 }, { position: 256 }]) {
    await expect(model.evaluate([{ ...row, ...bad }])).rejects.toThrow(RangeError)
  }
  await expect(model.prefill(0, [])).rejects.toThrow('no token')
  expect(() => model.truncate(1, 0)).toThrow('sequence 1')
})

suite('what llama.cpp refuses is an error, and the model stays usable', async () => {
  const model = open()
  const row = { sequence: 0, token: 1, position: 0, logits: false }
  await model.evaluate([row])
  await expect(model.evaluate([{ ...row, position: 9 }])).rejects.toThrow(LlamaCppCallError)
  expect(() => model.logits(0)).toThrow('has no logits')
  await model.evaluate([{ ...row, position: 1, logits: true }])
  expect(model.logits(0)).toHaveLength(4096)
})

suite('one call at a time, none after close', async () => {
  const model = open()
  const first = model.prefill(0, [1, 2, 3])
  expect(() => model.clear()).toThrow('still evaluating')
  expect(() => model.close()).toThrow('still evaluating')
  await first
  model.close()
  model.close()
  expect(() => model.clear()).toThrow('closed')
})

suite('files and options that cannot work are refused', () => {
  expect(() => LlamaCppModel.open(join(folder, 'none.gguf'))).toThrow(LlamaCppCallError)
  expect(() => open({ threads: 0 })).toThrow('threads is a whole number from 1, not 0')
  expect(() => open({ sequences: 257 })).toThrow('at most 256')
})
