import { balanceLayers, defaultSampling } from '@deos/domain'
import { plainNeeds } from '@deos/protocol'
import { describeStageEngine, FakeStageEngine } from '@deos/protocol/testing'
import type { EndedSpan } from '@deos/service'
import { expect, test } from 'vitest'
import { TracedEngine } from './traced-engine.ts'

const model = { layers: 4, hiddenSize: 3, vocabSize: 97 }
const capacity = { kvPages: 20, pageTokens: 4, contextLength: 32, maxBatchTokens: 16 }
const trace = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`

function tracedEngines(stages: number, record: (span: EndedSpan, trace: string | null) => void) {
  let nowMs = 1000
  const even = new Array<number>(stages).fill(1)
  return balanceLayers({ layers: new Array<number>(model.layers).fill(1), head: 0 }, even).map(
    (layers, stage) =>
      new TracedEngine(
        new FakeStageEngine({ model, layers, capacity }),
        { ring: 'ring-1', stage, layers, model: 'fake' },
        { record },
        () => nowMs++,
      ),
  )
}

describeStageEngine('traced', {
  create: async (stages) => tracedEngines(stages, () => undefined),
  vocabSize: model.vocabSize,
  maxStages: 4,
})

function traceOne() {
  const recorded: { readonly span: EndedSpan; readonly trace: string | null }[] = []
  const [engine] = tracedEngines(1, (span, parent) => recorded.push({ span, trace: parent }))
  const open = (key: number, parent: string | null) =>
    engine!.open({
      ...{ key, tokens: Int32Array.of(1, 2, 3), resumed: 0, maxTokens: 4, sampling: defaultSampling },
      ...{ needs: plainNeeds, pooling: null, trace: parent, cachedTokens: 0, pages: [] },
    })
  const step = (key: number, position: number, count: number) =>
    engine!.step({
      entries: [{ key, position, count, sample: position + count >= 3, pages: position === 0 ? [key] : [] }],
      tokens: new Int32Array(count).fill(1),
      hidden: null,
    })
  return { engine: engine!, recorded, open, step }
}

test('a session is one span with its prompt and its answer below', async () => {
  const { engine, recorded, open, step } = traceOne()
  open(1, trace)
  await step(1, 0, 2)
  await step(1, 2, 1)
  await step(1, 3, 1)
  expect(recorded).toEqual([])
  engine.close(1)
  expect(recorded).toHaveLength(1)
  expect(recorded[0]).toMatchObject({
    trace,
    span: {
      ...{ name: 'stage 0', kind: 'internal', startMs: 1000, endMs: 1007, error: null },
      attributes: { 'deos.ring': 'ring-1', 'deos.layers.first': 0, 'deos.layers.end': 4 },
      children: [
        {
          ...{ name: 'prefill', startMs: 1001, endMs: 1004 },
          attributes: { 'deos.steps': 2, 'deos.tokens': 3 },
        },
        {
          ...{ name: 'decode', startMs: 1005, endMs: 1006 },
          attributes: { 'deos.steps': 1, 'deos.tokens': 1 },
        },
      ],
    },
  })
})

test('what nobody traces is not told, and what is lost is told once', async () => {
  const { engine, recorded, open, step } = traceOne()
  open(1, null)
  open(2, trace)
  await step(1, 0, 3)
  engine.close(1)
  expect(recorded).toEqual([])
  await engine.reset()
  engine.forget('gone')
  expect(recorded).toMatchObject([{ span: { error: 'the ring started over', children: [] } }])
})
