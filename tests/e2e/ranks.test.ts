import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TinyFamily, tinyConfig, writeTinyModel } from '@deos/engine/testing'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Answer, RankRing, type RankSplit, type RankStage } from './rank-rings.ts'

/** Stages that several worker processes compute together, beside one process that computes the whole model. */

const folder = mkdtempSync(join(tmpdir(), 'deos-rank-rings-'))
const rings: RankRing[] = []
const families = ['llama', 'qwen3_moe'] as const satisfies readonly TinyFamily[]
type Family = (typeof families)[number]
const LAYERS = 4
const TOKENS = 24

beforeAll(async () => {
  for (const family of families) {
    await writeTinyModel({ directory: join(folder, family), family, seed: 5, config: { layers: LAYERS } })
  }
})
afterEach(async () => {
  await Promise.all(rings.splice(0).map((ring) => ring.stop()))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const alone: RankSplit = { tensor: 1, experts: 1, context: 1 }
const whole = (split: Partial<RankSplit>): RankStage[] => [
  { layers: { first: 0, end: LAYERS }, split: { ...alone, ...split } },
]

async function start(family: Family, stages: readonly RankStage[]): Promise<RankRing> {
  const ring = new RankRing(join(folder, family), join(folder, 'cache'), stages)
  rings.push(ring)
  await ring.start()
  return ring
}

/** Longer than a chunk, so that it is computed in pieces. */
const prompt = (family: Family): Int32Array =>
  Int32Array.from({ length: 150 }, (_, index) => (index * 37 + 11) % tinyConfig(family).vocabSize)

/** The same tokens, and logits within 1e-4: log-probabilities are those less one number. */
function expectSame(actual: Answer, expected: Answer): void {
  expect(actual.tokens).toEqual(expected.tokens)
  for (const [index, wanted] of expected.logprobs.entries()) {
    expect(wanted.size).toBe(20)
    for (const [token, logprob] of wanted) {
      const found = actual.logprobs[index]!.get(token)
      // The twentieth and the next may change places.
      if (found !== undefined) expect(Math.abs(found - logprob), `place ${index}`).toBeLessThan(1e-4)
    }
  }
}

const cases: readonly (readonly [name: string, Family, readonly RankStage[]])[] = [
  ['tensors on two ranks', 'llama', whole({ tensor: 2 })],
  [
    'two stages of two ranks each',
    'llama',
    [
      { layers: { first: 0, end: 1 }, split: { ...alone, tensor: 2 } },
      { layers: { first: 1, end: LAYERS }, split: { ...alone, tensor: 2 } },
    ],
  ],
  ['experts on two ranks', 'qwen3_moe', whole({ experts: 2 })],
  ['positions on two ranks', 'llama', whole({ context: 2 })],
  [
    'positions and tensors, then experts, then one rank',
    'qwen3_moe',
    [
      { layers: { first: 0, end: 1 }, split: { ...alone, tensor: 2, context: 2 } },
      { layers: { first: 1, end: 3 }, split: { ...alone, experts: 2 } },
      { layers: { first: 3, end: LAYERS }, split: alone },
    ],
  ],
  ['tensors and experts on four ranks', 'qwen3_moe', whole({ tensor: 2, experts: 2 })],
]

test.each(cases)('%s: the answer of one process', async (_, family, stages) => {
  const [ring, one] = await Promise.all([start(family, stages), start(family, whole({}))])
  const expected = await one.answer(prompt(family), TOKENS)
  expectSame(await ring.answer(prompt(family), TOKENS), expected)
  // Its prefix is there already now.
  expectSame(await ring.answer(prompt(family), TOKENS), expected)
  const both = await Promise.all([
    ring.answer(prompt(family), TOKENS),
    ring.answer(prompt(family).slice(40), TOKENS),
  ])
  expectSame(both[0]!, expected)
  expectSame(both[1]!, await one.answer(prompt(family).slice(40), TOKENS))
})

test('replicas of divided stages answer side by side as one process does', async () => {
  const [one, ...replicas] = await Promise.all([
    start('llama', whole({})),
    start('llama', whole({ tensor: 2 })),
    start('llama', whole({ context: 2 })),
  ])
  const prompts = replicas.map((_, index) => prompt('llama').slice(30 * index))
  const answers = await Promise.all(replicas.map((ring, index) => ring.answer(prompts[index]!, TOKENS)))
  for (const [index, answer] of answers.entries())
    expectSame(answer, await one.answer(prompts[index]!, TOKENS))
})

test('an engine that dies costs its stage, and the answer goes on', async () => {
  const [ring, one] = await Promise.all([start('llama', whole({ tensor: 2 })), start('llama', whole({}))])
  const expected = await one.answer(prompt('llama'), 60)
  for (const rank of [0, 1]) {
    // All engines are started again when one is lost.
    const ready = ring.workers[0]![rank]!.lines.findLast(({ event }) => event === 'ready')
    const actual = await ring.answer(prompt('llama'), 60, (index) => {
      if (index === 8) process.kill(Number(ready?.enginePid), 'SIGKILL')
    })
    expect(actual.interruptions, ring.log).toBeGreaterThan(0)
    expect(actual.tokens).toEqual(expected.tokens)
  }
})
