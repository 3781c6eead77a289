import { expect, test } from 'vitest'
import { AnswerTrace } from './answer-trace.ts'
import { hopsOf } from './hops.ts'

const prompt = Int32Array.of(1)
const stages = (...computeUs: number[]) =>
  computeUs.map((each) => ({ waitUs: 500, computeUs: each, linkUs: 1000 }))

test('what stages took is added over answers, and told by replica', () => {
  const first = new AnswerTrace(prompt)
  first.sent('replica-a', ['machine-1', 'machine-2'], 0)
  first.token(0, stages(4000, 2000), 1)
  first.token(0, stages(400, 200), 2)
  const second = new AnswerTrace(prompt)
  second.sent('replica-a', ['machine-1', 'machine-2'], 0)
  second.token(0, stages(1000, 3000), 1)
  second.sent('replica-b', [], 2)
  second.token(0, stages(7000), 3)
  expect(hopsOf([first, second])).toEqual([
    {
      ...{ replicaId: 'replica-a', stage: 0, machineId: 'machine-1' },
      prefill: { waitMs: 1, computeMs: 5, linkMs: 2 },
      decode: { waitMs: 0.5, computeMs: 0.4, linkMs: 1 },
    },
    {
      ...{ replicaId: 'replica-a', stage: 1, machineId: 'machine-2' },
      prefill: { waitMs: 1, computeMs: 5, linkMs: 2 },
      decode: { waitMs: 0.5, computeMs: 0.2, linkMs: 1 },
    },
    {
      ...{ replicaId: 'replica-b', stage: 0, machineId: null },
      prefill: { waitMs: 0.5, computeMs: 7, linkMs: 1 },
      decode: { waitMs: 0, computeMs: 0, linkMs: 0 },
    },
  ])
  // What was added up is not what was counted.
  expect(first.replicas[0]!.prefill).toEqual(stages(4000, 2000))
})
