import { balanceLayers, defaultSampling, type SamplingParams } from '@deos/domain'
import { expect, test } from 'vitest'
import { plainNeeds } from '../messages.ts'
import { describeStageEngine } from './describe-stage-engine.ts'
import { fakeGeneration } from './fake-model.ts'
import { FakeStageEngine } from './fake-stage-engine.ts'

const model = { layers: 4, hiddenSize: 3, vocabSize: 97 }
const capacity = { kvPages: 20, pageTokens: 4, contextLength: 32, maxBatchTokens: 16 }
const create = (stages: number) =>
  balanceLayers(
    { layers: new Array<number>(model.layers).fill(1), head: 0 },
    new Array<number>(stages).fill(1),
  ).map((layers) => new FakeStageEngine({ model, layers, capacity }))

const session = (key: number, tokens: Int32Array, resumed: number, sampling: SamplingParams) => ({
  ...{ key, tokens, resumed, sampling, maxTokens: 64, needs: plainNeeds, pooling: null, trace: null },
  ...{ cachedTokens: 0, pages: [] },
})

describeStageEngine('fake', {
  create: (stages) => Promise.resolve(create(stages)),
  vocabSize: model.vocabSize,
  maxStages: 4,
})

test('the reference run equals the engine, also when a session resumes in the middle', async () => {
  const prompt = [3, 1, 4, 1, 5]
  const sampling = { ...defaultSampling, seed: '7' }
  const expected = fakeGeneration(model, prompt, sampling, 6, [])
  const [engine] = create(1)
  const tokens = Int32Array.from([...prompt, ...expected.slice(0, 2)])
  engine!.open(session(1, tokens, 2, sampling))
  const generated = expected.slice(0, 2)
  let feed = tokens
  let position = 0
  while (generated.length < 6) {
    const pages = position === 0 ? [3, 9, 2] : []
    const entries = [{ key: 1, position, count: feed.length, sample: true, pages }]
    const { sampled } = await engine!.step({ entries, tokens: feed, hidden: null })
    position += feed.length
    feed = Int32Array.of(sampled[0]!.token)
    generated.push(sampled[0]!.token)
  }
  expect(generated).toEqual(expected)
})

test('seed and logprobs reach the sample', async () => {
  const [engine] = create(1)
  const step = async (key: number, seed: string) => {
    engine!.open(session(key, Int32Array.of(1), 0, { ...defaultSampling, seed, logprobs: 2 }))
    const entries = [{ key, position: 0, count: 1, sample: true, pages: [key] }]
    return (await engine!.step({ entries, tokens: Int32Array.of(1), hidden: null })).sampled[0]!
  }
  const [a, b] = [await step(1, '1'), await step(2, '2')]
  expect(a.token).not.toBe(b.token)
  expect(a.logprobs?.top).toHaveLength(2)
})
