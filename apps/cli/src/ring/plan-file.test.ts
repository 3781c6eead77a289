import { expect, test } from 'vitest'
import { UsageError } from '../cli-error.ts'
import { checkCoverage, parsePlan } from './plan-file.ts'

test('degrees that are left out are 1', () => {
  const text = JSON.stringify({
    stages: [{ layers: { first: 0, end: 3 }, split: { tensor: 2 } }, { layers: { first: 3, end: 8 } }],
  })
  const { stages } = parsePlan(text, 'plan.json', null)[0]!
  expect(stages).toEqual([
    { layers: { first: 0, end: 3 }, split: { tensor: 2, experts: 1, context: 1 } },
    { layers: { first: 3, end: 8 }, split: { tensor: 1, experts: 1, context: 1 } },
  ])
  expect(() => checkCoverage(stages, 8)).not.toThrow()
  expect(() => checkCoverage(stages, 9)).toThrow('ends at layer 8; the model has 9')
  expect(() => checkCoverage(stages.slice(1), 8)).toThrow('the next layer is 0')
})

const layers = { first: 0, end: 8 }
test.each([
  ['{', 'the file is not JSON'],
  ['[]', 'the plan is no object'],
  ['{"stages": []}', 'stages is no list'],
  [JSON.stringify({ stages: [{}] }), 'stages[0].layers is no object'],
  [JSON.stringify({ stages: [{ layers: { first: 2, end: 2 } }] }), 'stages[0].layers.end is 2'],
  [JSON.stringify({ stages: [{ layers, split: { tensor: 0 } }] }), 'stages[0].split.tensor is 0'],
  [JSON.stringify({ stages: [{ layers, split: { tensor: '2' } }] }), 'stages[0].split.tensor is "2"'],
  [JSON.stringify({ stages: [{ layers, split: { data: 2 } }] }), 'stages[0].split.data is none of'],
])('%s is refused by field', (text, problem) => {
  expect(() => parsePlan(text, 'plan.json', null)).toThrow(UsageError)
  expect(() => parsePlan(text, 'plan.json', null)).toThrow(`plan.json: ${problem}`)
})

test('a plan of one ring has no replicas to choose from', () => {
  expect(() => parsePlan(JSON.stringify({ stages: [{ layers }] }), 'plan.json', 0)).toThrow(
    'without replicas',
  )
})
