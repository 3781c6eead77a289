import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LayerRange } from '@deos/domain'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Backend } from '../ggml/backend.ts'
import { type ModelSource, openModel, resolveStageWeights } from '../weights/index.ts'
import type { KvType } from './kv-type.ts'
import { OutOfPagesError } from './page-table.ts'
import { PooledSequences } from './pooled-sequences.ts'
import { Stage } from './stage.ts'
import type { StageBatch, StageOutput } from './stage-batch.ts'
import { StageConfigError } from './stage-options.ts'

interface ReferenceCase {
  readonly ids: readonly number[]
  readonly lastLogitsTop20: readonly (readonly [number, number])[]
  readonly greedy64: readonly number[]
}

const modelPath = join(import.meta.dirname, '../../../../models/deos-7m')
const reference = JSON.parse(readFileSync(join(modelPath, 'reference.json'), 'utf8')) as {
  cases: readonly ReferenceCase[]
}
const cacheDir = mkdtempSync(join(tmpdir(), 'deos-stage-'))
let source: ModelSource
let backend: Backend
const open: Stage[] = []
const sequences = new Map<Stage, PooledSequences>()

beforeAll(async () => {
  source = await openModel(modelPath)
  backend = Backend.open({ threads: 1 })
})

afterAll(() => {
  for (const stage of open) stage.close()
  backend.close()
  rmSync(cacheDir, { recursive: true, force: true })
})

async function load(layers: LayerRange, kvType: KvType = 'F16', pageCount = 64): Promise<Stage> {
  const embedding = layers.first === 0
  const head = layers.end === source.config.layers
  const weights = await resolveStageWeights({ source, layers, embedding, head, type: 'F32', cacheDir })
  const stage = await Stage.load(backend, {
    ...{ config: source.config, layers, embedding, head, weights },
    kv: { type: kvType, pageCount, pageTokens: 16 },
    maxBatchTokens: 128,
  })
  open.push(stage)
  sequences.set(stage, new PooledSequences([stage.kv.pages]))
  return stage
}

const begin = (stage: Stage, sequence: number) => sequences.get(stage)!.open(sequence)

/** One batch, with pages for it. */
async function forward(stage: Stage, batch: StageBatch): Promise<StageOutput> {
  for (const { sequence, count } of batch.entries) sequences.get(stage)!.extend(sequence, count)
  return stage.forward(batch)
}

const whole = () => load({ first: 0, end: source.config.layers })
const argmax = (logits: Float32Array) =>
  logits.reduce((best, value, i) => (value > logits[best]! ? i : best), 0)
const ids = (index: number) => Int32Array.from(reference.cases[index]!.ids)

/** A prompt with its reference continuation, cut to `length` tokens. */
const continued = (index: number, length: number) => {
  const { ids: prompt, greedy64 } = reference.cases[index]!
  return Int32Array.from([...prompt, ...greedy64]).slice(0, length)
}

function prefill(stage: Stage, sequence: number, tokens: Int32Array): Promise<StageOutput> {
  begin(stage, sequence)
  return keep(forward(stage, { entries: [{ sequence, count: tokens.length, outputs: 'last' }], tokens }))
}

/** A copy that the stage's next batch does not overwrite. */
async function keep(output: Promise<StageOutput>): Promise<StageOutput> {
  const { hidden, logits } = await output
  return { hidden: hidden.slice(), logits: logits.slice() }
}

test('logits and greedy tokens match the independent float32 reference', async () => {
  const stage = await whole()
  for (const [sequence, { lastLogitsTop20, greedy64 }] of reference.cases.entries()) {
    let { logits } = await prefill(stage, sequence, ids(sequence))
    for (const [token, logit] of lastLogitsTop20) expect(Math.abs(logits[token]! - logit)).toBeLessThan(5e-3)
    const produced: number[] = []
    while (produced.length < 64) {
      const token = argmax(logits)
      produced.push(token)
      const step = {
        entries: [{ sequence, count: 1, outputs: 'last' as const }],
        tokens: Int32Array.of(token),
      }
      ;({ logits } = await forward(stage, step))
    }
    expect(produced).toEqual(greedy64)
    sequences.get(stage)!.release(sequence)
  }
  expect(stage.kv.pages.freePages).toBe(64)
})

test.each([[[1]], [[3, 4]], [[1, 2, 3, 4, 5, 6, 7]]])('cut at %j, logits are the same bits', async (cuts) => {
  const bounds = [0, ...cuts, source.config.layers]
  const stages = await Promise.all(bounds.slice(1).map((end, index) => load({ first: bounds[index]!, end })))
  const uncut = await whole()
  const run = async (tokens: Int32Array, fresh: boolean) => {
    const entries = [{ sequence: 3, count: tokens.length, outputs: 'last' as const }]
    let hidden: Float32Array | undefined
    let logits: Float32Array = new Float32Array()
    for (const stage of stages) {
      if (fresh) begin(stage, 3)
      const output = await forward(stage, hidden ? { entries, hidden } : { entries, tokens })
      ;({ hidden } = output)
      logits = output.logits
    }
    return logits
  }
  const first = await prefill(uncut, 3, ids(2))
  expect(await run(ids(2), true)).toEqual(first.logits)
  const entries = [{ sequence: 3, count: 1, outputs: 'last' as const }]
  for (const token of [5, 900, 17]) {
    const expected = await forward(uncut, { entries, tokens: Int32Array.of(token) })
    expect(await run(Int32Array.of(token), false)).toEqual(expected.logits)
  }
})

test('a prompt in chunks ends where it ends at once', async () => {
  const stage = await whole()
  const tokens = continued(1, 60)
  const { logits } = await prefill(stage, 0, tokens)
  begin(stage, 1)
  let chunked: Float32Array = new Float32Array()
  for (const [first, end] of [
    [0, 7],
    [7, 40],
    [40, 60],
  ] as const) {
    const entries = [
      { sequence: 1, count: end - first, outputs: end === 60 ? ('last' as const) : ('none' as const) },
    ]
    const output = await forward(stage, { entries, tokens: tokens.slice(first, end) })
    expect(output.logits).toHaveLength(end === 60 ? source.config.vocabSize : 0)
    chunked = output.logits
  }
  expect(argmax(chunked)).toBe(argmax(logits))
  for (const [i, logit] of logits.entries()) expect(Math.abs(chunked[i]! - logit)).toBeLessThan(2e-2)
})

test('sequences of different lengths in one batch do not disturb each other', async () => {
  const stage = await whole()
  const alone: Float32Array[] = []
  for (const index of [0, 1, 2]) {
    alone.push((await prefill(stage, index, ids(index))).logits)
    sequences.get(stage)!.release(index)
    begin(stage, index)
  }
  const parts = [0, 1, 2].map(ids)
  const { logits } = await forward(stage, {
    entries: parts.map((part, sequence) => ({ sequence, count: part.length, outputs: 'last' })),
    tokens: Int32Array.from(parts.flatMap((part) => [...part])),
  })
  const { vocabSize } = source.config
  for (const [row, expected] of alone.entries()) {
    const mine = logits.subarray(row * vocabSize, (row + 1) * vocabSize)
    expect(argmax(mine)).toBe(argmax(expected))
    for (const [i, logit] of expected.entries()) expect(Math.abs(mine[i]! - logit)).toBeLessThan(2e-2)
  }
})

test('all rows can be asked for, and the last is the one given alone', async () => {
  const stage = await whole()
  const tokens = ids(3)
  const last = (await prefill(stage, 0, tokens)).logits
  begin(stage, 1)
  const { logits } = await forward(stage, {
    entries: [{ sequence: 1, count: tokens.length, outputs: 'all' }],
    tokens,
  })
  expect(logits).toHaveLength(tokens.length * source.config.vocabSize)
  expect(argmax(logits.subarray(-source.config.vocabSize))).toBe(argmax(last))
})

test('a sequence goes on from pages that another filled as from its own', async () => {
  const stage = await whole()
  const tokens = continued(2, 50)
  const alone = (await prefill(stage, 0, tokens)).logits
  sequences.get(stage)!.fork(1, 0, 32)
  const rest = { entries: [{ sequence: 1, count: 18, outputs: 'last' as const }], tokens: tokens.slice(32) }
  const { logits } = await forward(stage, rest)
  expect(stage.kv.pages.pages(1).slice(0, 2)).toEqual(stage.kv.pages.pages(0).slice(0, 2))
  expect(stage.kv.pages.freePages).toBe(64 - 6)
  expect(argmax(logits)).toBe(argmax(alone))
  for (const [i, logit] of alone.entries()) expect(Math.abs(logits[i]! - logit)).toBeLessThan(2e-2)
  sequences.get(stage)!.release(0)
  const next = { entries: [{ sequence: 1, count: 1, outputs: 'last' as const }], tokens: Int32Array.of(7) }
  expect((await forward(stage, next)).logits).toHaveLength(source.config.vocabSize)
  stage.kv.pages.verify()
})

test('rolling back and going another way leaves no trace', async () => {
  const stage = await whole()
  const straight = (await prefill(stage, 0, ids(4))).logits
  begin(stage, 1)
  const tokens = ids(4)
  const entry = (count: number) => [{ sequence: 1, count, outputs: 'last' as const }]
  await forward(stage, { entries: entry(2), tokens: tokens.slice(0, 2) })
  await forward(stage, { entries: entry(20), tokens: new Int32Array(20).fill(99) })
  sequences.get(stage)!.truncate(1, 2)
  const { logits } = await forward(stage, { entries: entry(tokens.length - 2), tokens: tokens.slice(2) })
  expect(argmax(logits)).toBe(argmax(straight))
})

test('a step of a shape seen before a longer one is as it was: the memory of graphs has moved', async () => {
  const stage = await whole()
  const step = async (sequence: number, count: number) => {
    begin(stage, sequence)
    const tokens = Int32Array.from({ length: count }, (_, index) => 20 + index)
    const { logits } = await forward(stage, { entries: [{ sequence, count, outputs: 'last' }], tokens })
    return logits.slice()
  }
  const before = await step(1, 3)
  await step(2, 120)
  expect(await step(3, 3)).toEqual(before)
})

test('a full cache refuses the whole batch and keeps what it had', async () => {
  const stage = await load({ first: 0, end: source.config.layers }, 'F16', 16)
  begin(stage, 0)
  begin(stage, 1)
  const tokens = new Int32Array(128)
  const fill = { entries: [{ sequence: 0, count: 128, outputs: 'none' as const }], tokens }
  await forward(stage, fill)
  const entries = [
    { sequence: 0, count: 64, outputs: 'none' as const },
    { sequence: 1, count: 64, outputs: 'none' as const },
  ]
  await forward(stage, { entries, tokens })
  await expect(forward(stage, { entries, tokens })).rejects.toThrow(OutOfPagesError)
  stage.kv.pages.truncate(0, 128)
  await expect(stage.forward({ entries, tokens })).rejects.toThrow(OutOfPagesError)
  expect([stage.kv.pages.length(0), stage.kv.pages.length(1)]).toEqual([128, 64])
  stage.kv.pages.verify()
})

test.each<[string, Parameters<Stage['forward']>[0], RegExp]>([
  ['no entries', { entries: [], tokens: new Int32Array() }, /at least one token/],
  ['a token outside the vocabulary', one(Int32Array.of(4096)), /outside the vocabulary of 4096/],
  ['a negative token', one(Int32Array.of(-1)), /outside the vocabulary/],
  ['fewer tokens than announced', one(new Int32Array()), /Expected 1 token ids, got 0/],
  [
    'hidden states for a stage that embeds',
    { entries: one(new Int32Array()).entries, hidden: new Float32Array(256) },
    /Expected 1 token ids/,
  ],
  [
    'too large a batch',
    { entries: [{ sequence: 0, count: 129, outputs: 'none' }], tokens: new Int32Array(129) },
    /exceeds this stage's 128/,
  ],
])('%s is refused', async (_, batch, message) => {
  const stage = await whole()
  begin(stage, 0)
  await expect(forward(stage, batch)).rejects.toThrow(message)
  expect(stage.kv.pages.length(0)).toBe(0)
})

function one(tokens: Int32Array) {
  return { entries: [{ sequence: 0, count: 1, outputs: 'last' as const }], tokens }
}

test('a stage that lacks a weight, or with impossible layers, is not loaded', async () => {
  const layers = { first: 0, end: 2 }
  const weights = await resolveStageWeights({
    source,
    layers,
    embedding: true,
    head: false,
    type: 'F32',
    cacheDir,
  })
  const options = {
    ...{ config: source.config, layers, embedding: true, head: false },
    kv: { type: 'F16' as const, pageCount: 16, pageTokens: 16 },
    maxBatchTokens: 8,
  }
  const without = weights.filter(({ name }) => name !== 'blk.1.ffn_up.weight')
  await expect(Stage.load(backend, { ...options, weights: without })).rejects.toThrow(
    /blk\.1\.ffn_up\.weight/,
  )
  const empty = { ...options, layers: { first: 2, end: 2 }, weights }
  await expect(Stage.load(backend, empty)).rejects.toThrow(StageConfigError)
  const unknown = { ...options, config: { ...source.config, architecture: 'rwkv' }, weights }
  await expect(Stage.load(backend, unknown)).rejects.toThrow(/family rwkv/)
})
