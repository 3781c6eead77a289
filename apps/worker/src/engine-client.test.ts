import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { balanceLayers, defaultSampling, type ModelConfig } from '@deos/domain'
import { kvPageBytes } from '@deos/engine'
import { maskWords } from '@deos/engine/sampling'
import { tinyConfig, writeTinyAdapter, writeTinyModel } from '@deos/engine/testing'
import { loadTokenizer } from '@deos/engine/tokenizer'
import { openModel } from '@deos/engine/weights'
import { type EngineSession, plainNeeds, type StageEngine, type StepEntry } from '@deos/protocol'
import { describeStageEngine } from '@deos/protocol/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ConstrainedEngine } from './constrained-engine.ts'
import { EngineClient } from './engine-client.ts'
import { ModelGrammars } from './model-grammars.ts'

const built = (name: string) => fileURLToPath(new URL(`../../../dist/${name}`, import.meta.url))
const entry = built('worker-engine.mjs')
const directory = mkdtempSync(join(tmpdir(), 'deos-engine-process-'))
const modelPath = join(directory, 'model')
const { vocabSize } = tinyConfig('llama')
let config: ModelConfig

beforeAll(async () => {
  if (!existsSync(entry)) throw new Error(`${entry} does not exist. Run "npm run build" first.`)
  config = await writeTinyModel({ directory: modelPath, family: 'llama', seed: 3 })
  await writeTinyAdapter({ directory: join(directory, 'poet'), config })
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

function start(layers: { readonly first: number; readonly end: number }): Promise<EngineClient> {
  const pageBytes = kvPageBytes(config, layers.end - layers.first, { type: 'F32', pageTokens: 16 })
  return EngineClient.start({
    networkFirst: false,
    entry,
    assignment: {
      ...{ modelPath, fingerprint: null, layers, weightType: 'F32', kvType: 'auto', kvBytes: 32 * pageBytes },
      ...{ contextLength: 256, maxBatchTokens: 64, threads: 1, device: null, speed: 1 },
      activations: 'f32',
      split: { tensor: 1, experts: 1, context: 1 },
      rank: 0,
      adapters: [{ name: 'poet', path: join(directory, 'poet') }],
      cacheDir: join(directory, 'cache'),
    },
    onExit: () => undefined,
  })
}

describeStageEngine('an engine process', {
  create: (stages) => {
    const even = { layers: new Array<number>(config.layers).fill(1), head: 0 }
    return Promise.all(balanceLayers(even, new Array<number>(stages).fill(1)).map(start))
  },
  vocabSize,
  maxStages: 2,
})

const session = (key: number, adapter: string | null = null): EngineSession => ({
  ...{ key, tokens: Int32Array.of(5, 6, 7), resumed: 0, maxTokens: 9 },
  ...{ sampling: { ...defaultSampling, temperature: 0 }, needs: { ...plainNeeds, adapter } },
  ...{ pooling: null, trace: null, cachedTokens: 0, pages: [] },
})
const prompt = (key: number): StepEntry => ({ key, position: 0, count: 3, sample: true, pages: [key] })
const tokens = Int32Array.of(5, 6, 7)

const only = (token: number): Uint32Array => {
  const mask = new Uint32Array(maskWords(vocabSize))
  mask[token >> 5] = 1 << (token & 31)
  return mask
}

test('masks that come after their step decide what it samples, in any order of steps and masks', async () => {
  const engine = await start({ first: 0, end: config.layers })
  for (const key of [1, 2, 3, 4]) engine.open(session(key))
  const free = engine.step({ entries: [prompt(1)], tokens, hidden: null })
  let release = (_: readonly Uint32Array[]): void => undefined
  const words = new Promise<readonly Uint32Array[]>((resolve) => {
    release = resolve
  })
  const twice = Int32Array.of(...tokens, ...tokens)
  const slow = engine.step(
    { entries: [prompt(2), prompt(3)], tokens: twice, hidden: null },
    { entries: [1], words },
  )
  const quick = engine.step(
    { entries: [prompt(4)], tokens, hidden: null },
    { entries: [0], words: Promise.resolve([only(111)]) },
  )
  const pages = engine.freePages()
  const unmasked = (await free).sampled[0]!.token
  release([only(33)])
  expect((await slow).sampled.map(({ token }) => token)).toEqual([unmasked, 33])
  expect((await quick).sampled.map(({ token }) => token)).toEqual([111])
  expect(await pages).toBe(engine.capacity.kvPages - 4)
  await engine.stop()
})

test('masks that cannot be had fail their step, and a reset mends the engine', async () => {
  const engine = await start({ first: 0, end: config.layers })
  engine.open(session(1))
  const words = Promise.reject(new Error('no grammar'))
  const step = engine.step({ entries: [prompt(1)], tokens, hidden: null }, { entries: [0], words })
  await expect(step).rejects.toThrow(/no grammar/)
  await engine.reset()
  engine.open(session(1))
  expect((await engine.step({ entries: [prompt(1)], tokens, hidden: null })).sampled).toHaveLength(1)
  await engine.stop()
})

test('a slice that waits for others is not written once its pages are for somebody else', async () => {
  const engine = await start({ first: 0, end: config.layers })
  const slice = {
    layer: 0,
    part: 'key',
    pages: [0],
    positions: { first: 0, end: 16 },
    encoding: 'stored',
  } as const
  const before = await engine.readKv(slice)
  const data = new Uint8Array(new Float32Array(before.length / 4).fill(1).buffer)
  let imports = true
  // As many as are on their way at once.
  const others = [engine.readKv(slice), engine.readKv(slice)]
  const late = engine.writeKv({ ...slice, data }, () => imports)
  imports = false
  await expect(late).rejects.toThrow(/not for this slice/)
  await Promise.all(others)
  expect(await engine.readKv(slice)).toEqual(before)
  await engine.writeKv({ ...slice, data }, () => true)
  expect(await engine.readKv(slice)).toEqual(data)
  await engine.stop()
})

test('an adapter is prepared by name while others generate', async () => {
  const engine = await start({ first: 0, end: config.layers })
  engine.open(session(1))
  const plain = engine.step({ entries: [prompt(1)], tokens, hidden: null })
  await engine.prepare({ adapter: 'poet', grammar: null })
  await expect(engine.prepare({ adapter: 'nobody', grammar: null })).rejects.toThrow(/There are poet/)
  engine.open(session(2, 'poet'))
  engine.open(session(3))
  const entries = [prompt(2), prompt(3)]
  const both = await engine.step({ entries, tokens: Int32Array.of(...tokens, ...tokens), hidden: null })
  const [poet, other] = both.sampled.map(({ token }) => token)
  expect(other).toBe((await plain).sampled[0]!.token)
  expect(poet).not.toBe(other)
  await engine.stop()
})

test('sessions bound to grammars write what these allow, beside one that is free', async () => {
  const engine = await start({ first: 0, end: config.layers })
  const grammars = new ModelGrammars({
    modelPath,
    grammarEntry: built('worker-grammar.mjs'),
    vocabularyEntry: built('worker-vocabulary.mjs'),
  })
  const { stopTokens } = engine.report
  const problems: string[] = []
  const onProblem = (problem: string) => void problems.push(problem)
  const constrained = new ConstrainedEngine(engine, grammars, { vocabSize, stopTokens, onProblem })
  await expect(
    constrained.prepare({ adapter: null, grammar: '{"type":"regex","pattern":"("}' }, 64),
  ).rejects.toThrow()
  const specs = [{ type: 'regex', pattern: '[ab]{3}c' }, { type: 'json' }, null].map((spec) =>
    spec === null ? null : JSON.stringify(spec),
  )
  for (const grammar of specs) await constrained.prepare({ adapter: null, grammar }, 64)
  const texts = await generateTogether(constrained, specs, new Set(stopTokens))
  const tokenizer = await loadTokenizer(await openModel(modelPath))
  const [regex, json, free] = texts.map((text) => tokenizer.decode(text))
  expect(regex).toMatch(/^[ab]{3}c$/)
  expect(typeof JSON.parse(json!)).toBe('object')
  expect(free).not.toBe(json)
  expect(problems).toEqual([])
  await grammars.stop()
  await constrained.stop()
})

/** Tokens of one session for each grammar, stop tokens left out, at most 40 each. */
async function generateTogether(
  engine: StageEngine,
  grammars: readonly (string | null)[],
  stopTokens: ReadonlySet<number>,
): Promise<readonly (readonly number[])[]> {
  const maxTokens = 40
  const texts = grammars.map((): number[] => [])
  for (const [key, grammar] of grammars.entries()) {
    const sampling = { ...defaultSampling, temperature: 1, seed: String(key) }
    engine.open({ ...session(key), maxTokens, sampling, needs: { ...plainNeeds, grammar } })
  }
  let running = grammars.map((_, key) => ({ key, position: 0, feed: tokens }))
  while (running.length > 0) {
    const entries = running.map(({ key, position, feed }) => {
      const pages = position === 0 ? [3 * key, 3 * key + 1, 3 * key + 2] : []
      return { key, position, count: feed.length, sample: true, pages }
    })
    const fed = Int32Array.from(running.flatMap(({ feed }) => [...feed]))
    const { sampled } = await engine.step({ entries, tokens: fed, hidden: null })
    running = running.flatMap(({ key, position, feed }, index) => {
      const { token } = sampled[index]!
      if (stopTokens.has(token) || texts[key]!.push(token) === maxTokens) return []
      return [{ key, position: position + feed.length, feed: Int32Array.of(token) }]
    })
  }
  return texts
}
