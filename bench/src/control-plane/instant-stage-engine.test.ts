import { defaultSampling } from '@deos/domain'
import { plainNeeds } from '@deos/protocol'
import { expect, test } from 'vitest'
import { InstantStageEngine } from './instant-stage-engine.ts'

const capacity = { kvPages: 8, pageTokens: 4, contextLength: 16, maxBatchTokens: 8 }
const session = (key: number, pages: readonly number[]) => ({
  ...{ key, tokens: Int32Array.of(1), resumed: 0, maxTokens: 4, sampling: defaultSampling },
  ...{ needs: plainNeeds, pooling: null, trace: null, cachedTokens: 0, pages },
})
const entry = (key: number, count: number, sample: boolean, pages: readonly number[] = []) => ({
  ...{ key, position: 0, count, sample, pages },
})

test('the last stage samples where it is asked to, and passes nothing on', async () => {
  const engine = new InstantStageEngine({ isLast: true, hiddenSize: 2, token: 7, capacity })
  const step = { entries: [entry(1, 2, true), entry(2, 3, false)], tokens: null, hidden: null }
  const { sampled, hidden } = await engine.step(step)
  expect(sampled).toEqual([{ token: 7, logprobs: null }])
  expect(hidden).toHaveLength(0)
})

test('another stage passes on as many rows as tokens came', async () => {
  const engine = new InstantStageEngine({ isLast: false, hiddenSize: 2, token: 7, capacity })
  const { sampled, hidden } = await engine.step({
    entries: [entry(1, 2, true), entry(2, 3, true)],
    tokens: null,
    hidden: null,
  })
  expect(sampled).toEqual([])
  expect(hidden).toHaveLength(5 * 2 * 4)
})

test('pages count once however many sessions read them, and are free again after', async () => {
  const engine = new InstantStageEngine({ isLast: true, hiddenSize: 2, token: 7, capacity })
  engine.open(session(1, [0, 1]))
  engine.open(session(2, [1]))
  await engine.step({ entries: [entry(2, 1, true, [5])], tokens: null, hidden: null })
  expect(await engine.freePages()).toBe(5)
  engine.close(1)
  expect(await engine.freePages()).toBe(6)
  await engine.reset()
  expect(await engine.freePages()).toBe(8)
})
