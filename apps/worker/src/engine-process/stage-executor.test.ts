import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { balanceLayers, defaultSampling, type ModelConfig } from '@deos/domain'
import { kvPageBytes, unsplit } from '@deos/engine'
import {
  LlamaCppModel,
  llamaCppAvailability,
  tinyConfig,
  writeTinyAdapter,
  writeTinyModel,
} from '@deos/engine/testing'
import { convertModel, openModel } from '@deos/engine/weights'
import { type EngineSession, type EngineStepResult, type Pooling, plainNeeds } from '@deos/protocol'
import { describeStageEngine } from '@deos/protocol/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EngineAssignment, KvBudgetError, loadStage } from './engine-load.ts'
import { StageExecutor, type StoredRows } from './stage-executor.ts'

const directory = mkdtempSync(join(tmpdir(), 'deos-executor-'))
const modelPath = join(directory, 'model')
let config: ModelConfig

beforeAll(async () => {
  config = await writeTinyModel({ directory: modelPath, family: 'llama', seed: 3 })
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const PAGES = 32

function assignment(layers: EngineAssignment['layers']): EngineAssignment {
  const pageBytes = kvPageBytes(config, layers.end - layers.first, { type: 'F32', pageTokens: 16 })
  return {
    ...{
      modelPath,
      fingerprint: null,
      layers,
      split: unsplit,
      rank: 0,
      weightType: 'F32',
      kvType: 'auto',
      kvBytes: PAGES * pageBytes,
    },
    ...{ contextLength: 256, maxBatchTokens: 64, threads: 1, device: null, adapters: [], speed: 1 },
    activations: 'f32',
    cacheDir: join(directory, 'cache'),
  }
}

async function start(stages: number, overrides: Partial<EngineAssignment> = {}): Promise<StageExecutor[]> {
  const engines: StageExecutor[] = []
  for (const layers of balanceLayers(
    { layers: new Array<number>(config.layers).fill(1), head: 0 },
    new Array<number>(stages).fill(1),
  )) {
    const own = { ...assignment(layers), ...overrides }
    engines.push(new StageExecutor(await loadStage(own, () => undefined), own))
  }
  return engines
}

const { vocabSize, layers } = tinyConfig('llama')
describeStageEngine('a real stage', { create: (stages) => start(stages), vocabSize, maxStages: layers })

describeStageEngine('a real stage whose hidden states are coded without loss', {
  create: (stages) => start(stages, { activations: 'lossless' }),
  vocabSize,
  maxStages: layers,
})

test.each(['lossless', 'int8', 'int4h'] as const)(
  '%s hidden states are fewer bytes, and the next stage reads them',
  async (activations) => {
    const prompt = Int32Array.from({ length: 20 }, (_, index) => (7 * index) % vocabSize)
    const through = async (coding: EngineAssignment['activations']) => {
      const [first, last] = await start(2, { activations: coding })
      for (const engine of [first!, last!]) engine.open(session)
      const sent = await first!.step({ entries, tokens: prompt, hidden: null })
      const { hidden, coded } = sent
      const { sampled } = await last!.step({ entries, tokens: null, hidden, ...(coded && { coded }) })
      await Promise.all([first!.stop(), last!.stop()])
      return { sent, token: sampled[0]!.token }
    }
    const session = {
      ...{
        key: 1,
        tokens: prompt,
        resumed: 0,
        maxTokens: 4,
        sampling: { ...defaultSampling, temperature: 0 },
      },
      ...{ needs: plainNeeds, pooling: null, trace: null, cachedTokens: 0, pages: [] },
    }
    const entries = [{ key: 1, position: 0, count: prompt.length, sample: true, pages: [0, 1] }]
    const plain = await through('f32')
    const small = await through(activations)
    expect(plain.sent.coded).toBeUndefined()
    expect(small.sent.coded).toBe(true)
    const least = { lossless: 1.1, int8: 3, int4h: 5 }[activations]
    expect(plain.sent.hidden.length / small.sent.hidden.length).toBeGreaterThan(least)
    if (activations === 'lossless') expect(small.token).toBe(plain.token)
  },
)

test('a step whose coded hidden states are none fails', async () => {
  const [, last] = await start(2)
  const tokens = Int32Array.of(1, 2)
  last!.open({
    ...{ key: 1, tokens, resumed: 0, maxTokens: 4, sampling: defaultSampling, needs: plainNeeds },
    ...{ pooling: null, trace: null, cachedTokens: 0, pages: [] },
  })
  const entries = [{ key: 1, position: 0, count: 2, sample: true, pages: [0] }]
  const hidden = new Uint8Array(64).fill(0xa4)
  await expect(last!.step({ entries, tokens: null, hidden, coded: true })).rejects.toThrow(/bytes/)
  await last!.stop()
})

test('a KV budget below one bucket of tokens is refused with what would do', async () => {
  const small = { ...assignment({ first: 0, end: 4 }), kvBytes: 1000 }
  await expect(loadStage(small, () => undefined)).rejects.toThrow(KvBudgetError)
})

test('the embedded head dimension gets F32 keys and values, which the CPU kernels are fast with', async () => {
  const { capacity, stage, backend } = await loadStage(assignment({ first: 1, end: 3 }), () => undefined)
  expect(stage.kv.options.type).toBe('F32')
  expect(capacity).toEqual({ kvPages: PAGES, pageTokens: 16, contextLength: 256, maxBatchTokens: 64 })
  stage.close()
  backend.close()
})

test('of a prompt alone every layer is told while its step is computed, and the step is the same', async () => {
  const tokens = Int32Array.from({ length: 40 }, (_, index) => (index * 37 + 11) % vocabSize)
  const prefill = async (maxTokens: number) => {
    const engines = await start(2)
    const told: StoredRows[] = []
    const hiddens: Uint8Array[] = []
    for (const engine of engines) engine.open(aloneSession(tokens, maxTokens))
    for (const [position, end] of [
      [0, 24],
      [24, 40],
    ] as const) {
      const pages = position === 0 ? [4, 5] : [9]
      const entries = [{ key: 1, position, count: end - position, sample: false, pages }]
      const before = told.length
      const first = await engines[0]!.step(
        { entries, tokens: tokens.slice(position, end), hidden: null },
        undefined,
        (rows) => told.push(rows),
      )
      await engines[1]!.step({ entries, tokens: null, hidden: first.hidden }, undefined, (rows) =>
        told.push(rows),
      )
      hiddens.push(first.hidden)
      for (const { layer, first: at, count, keys, values } of told.slice(before)) {
        expect([at, count]).toEqual([position, end - position])
        const holder = engines.find(({ kv }) => layer >= kv.layers.first && layer < kv.layers.end)!
        const slice = {
          layer,
          pages: [4, 5, 9],
          positions: { first: at, end: at + count },
          encoding: 'stored',
        } as const
        expect(keys).toEqual(await holder.readKv({ ...slice, part: 'key' }))
        expect(values).toEqual(await holder.readKv({ ...slice, part: 'value' }))
      }
    }
    return { hiddens, layers: told.map(({ layer }) => layer) }
  }
  const alone = await prefill(0)
  const all = Array.from({ length: layers }, (_, layer) => layer)
  expect(alone.layers).toEqual([...all, ...all])
  const usual = await prefill(4)
  expect(usual.layers).toEqual([])
  expect(alone.hiddens).toEqual(usual.hiddens)
})

const aloneSession = (tokens: Int32Array, maxTokens: number): EngineSession => ({
  ...{ key: 1, tokens, resumed: 0, maxTokens, sampling: { ...defaultSampling }, needs: plainNeeds },
  ...{ pooling: null, cachedTokens: 0, pages: [], trace: null },
})

describe.skipIf(!llamaCppAvailability().available)('vectors of texts', () => {
  test.each(['mean', 'last'] as const)('pooled by %s are those of llama.cpp', async (pooling) => {
    const gguf = join(directory, `${pooling}.gguf`)
    await convertModel({ source: await openModel(modelPath), type: 'F32', output: gguf })
    const oracle = LlamaCppModel.open(gguf, { context: 256, pooling })
    const engines = await start(2, { kvType: 'F16' })
    const tokens = Int32Array.from({ length: 45 }, (_, index) => (index * 37 + 11) % vocabSize)
    const expected = oracle.embedSync(tokens)
    oracle.close()
    for (const engine of engines) engine.open(poolingSession(tokens, pooling))
    const chunks = [
      [0, 20],
      [20, 44],
      [44, 45],
    ] as const
    let vectors: readonly Uint8Array[] = []
    for (const [position, end] of chunks) {
      const entries = [
        {
          key: 1,
          position,
          count: end - position,
          sample: end === 45,
          pages: position === 0 ? [4, 5, 9] : [],
        },
      ]
      const { hidden } = await engines[0]!.step({
        entries,
        tokens: tokens.slice(position, end),
        hidden: null,
      })
      ;({ pooled: vectors } = await engines[1]!.step({ entries, tokens: null, hidden }))
      expect(vectors).toHaveLength(end === 45 ? 1 : 0)
    }
    const vector = new Float32Array(vectors[0]!.buffer)
    const largest = Math.max(...expected.map(Math.abs))
    for (const [index, value] of expected.entries()) {
      expect(Math.abs(vector[index]! - value)).toBeLessThan(1e-4 * largest)
    }
    for (const engine of engines) await engine.stop()
  })
})

describe('adapters', () => {
  const tokens = Int32Array.from({ length: 20 }, (_, index) => (index * 37 + 11) % vocabSize)
  const adapter = (name: string) => ({ name, path: join(directory, name) })
  const needs = (name: string) => ({ adapter: name, grammar: null })

  async function generate(engines: readonly StageExecutor[], key: number, name: string | null, count = 5) {
    const session = { ...poolingSession(tokens, 'last'), key, pooling: null, pages: [] }
    for (const engine of engines) engine.open({ ...session, needs: { adapter: name, grammar: null } })
    const produced: number[] = []
    let next = tokens
    for (
      let position = 0;
      produced.length < count;
      position += next.length, next = Int32Array.of(produced.at(-1)!)
    ) {
      const pages = position === 0 ? [2 * key, 2 * key + 1] : []
      const entries = [{ key, position, count: next.length, sample: true, pages }]
      let hidden: Uint8Array | null = null
      for (const engine of engines) {
        const result: EngineStepResult = await engine.step({ entries, tokens: hidden ? null : next, hidden })
        ;({ hidden } = result)
        for (const { token } of result.sampled) produced.push(token)
      }
    }
    return produced
  }

  test('are prepared by name, and change what their sessions say and no others', async () => {
    await writeTinyAdapter({ directory: join(directory, 'poet'), config, seed: 1 })
    const engines = await start(2, { adapters: [adapter('poet')] })
    for (const engine of engines) await engine.prepare(needs('poet'))
    const plain = await generate(engines, 1, null)
    const poet = await generate(engines, 2, 'poet')
    expect(poet).not.toEqual(plain)
    expect(await generate(engines, 3, null)).toEqual(plain)
    for (const engine of engines) {
      for (const key of [1, 2, 3]) engine.close(key)
      await engine.reset()
      await engine.prepare(needs('poet'))
    }
    expect(await generate(engines, 4, 'poet')).toEqual(poet)
    for (const engine of engines) await engine.stop()
  })

  test('one that lost its place since it was prepared is loaded again', async () => {
    const names = Array.from({ length: 10 }, (_, index) => `many-${index}`)
    for (const [seed, name] of names.entries()) {
      await writeTinyAdapter({ directory: join(directory, name), config, seed, rank: 1, modules: ['o_proj'] })
    }
    const [engine] = await start(1, { adapters: names.map(adapter) })
    await engine!.prepare(needs('many-0'))
    const before = await generate([engine!], 1, 'many-0')
    engine!.close(1)
    for (const name of names) await engine!.prepare(needs(name))
    expect(await generate([engine!], 2, 'many-0')).toEqual(before)
    await engine!.stop()
  })

  test('unknown ones and those of another model are refused, and the engine goes on', async () => {
    await writeTinyAdapter({ directory: join(directory, 'other'), config: { ...config, hiddenSize: 32 } })
    const [engine] = await start(1, { adapters: [adapter('other'), adapter('gone')] })
    await expect(engine!.prepare(needs('nobody'))).rejects.toThrow(/no adapter nobody/)
    await expect(engine!.prepare(needs('other'))).rejects.toThrow(/the matrix is/)
    await expect(engine!.prepare(needs('gone'))).rejects.toThrow(/no adapter at/)
    expect(await generate([engine!], 1, null)).toHaveLength(5)
    await engine!.stop()
  })
})

test('a step of sessions that pool and sessions that generate is refused', async () => {
  const [engine] = await start(1)
  engine!.open(poolingSession(Int32Array.of(1, 2), 'mean'))
  engine!.open({ ...poolingSession(Int32Array.of(1, 2), 'mean'), key: 2, pooling: null })
  const entries = [1, 2].map((key) => ({ key, position: 0, count: 1, sample: true, pages: [key] }))
  const mixed = engine!.step({ entries, tokens: Int32Array.of(1, 1), hidden: null })
  await expect(mixed).rejects.toThrow(/share no step/)
  await engine!.stop()
})

test('a mean over positions that are not computed is refused', async () => {
  const [engine] = await start(1)
  engine!.open({ ...poolingSession(Int32Array.of(1, 2), 'mean'), cachedTokens: 16, pages: [0] })
  const entries = [{ key: 1, position: 16, count: 1, sample: true, pages: [1] }]
  const step = engine!.step({ entries, tokens: Int32Array.of(1), hidden: null })
  await expect(step).rejects.toThrow(/16 of them are not computed/)
  await engine!.stop()
})

function poolingSession(tokens: Int32Array, pooling: Pooling): EngineSession {
  return {
    ...{ key: 1, tokens, resumed: 0, maxTokens: 1, sampling: defaultSampling },
    ...{ needs: plainNeeds, pooling, trace: null, cachedTokens: 0, pages: [] },
  }
}

test('steps of a paced stage take at least what the pace says', async () => {
  const pace = { stepMs: 20, sessionMs: 10, promptTokenMs: 5 }
  const [engine] = await start(1, { pace })
  const tokens = Int32Array.of(1, 2, 3)
  engine!.open({
    ...{ key: 1, tokens, resumed: 0, maxTokens: 4, sampling: defaultSampling, needs: plainNeeds },
    ...{ pooling: null, trace: null, cachedTokens: 0, pages: [] },
  })
  const entries = [{ key: 1, position: 0, count: 3, sample: true, pages: [0] }]
  const prompt = await engine!.step({ entries, tokens, hidden: new Uint8Array() })
  expect(prompt.computeUs).toBeGreaterThanOrEqual(34_000)
  await engine!.stop()
})
