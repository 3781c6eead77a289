import { describeShape } from '@deos/engine/weights'
import { expect, test } from 'vitest'
import { planRing } from '../ring/ring-plan.ts'
import { defaultServing } from '../ring/serving-settings.ts'
import { mixedProfiles, takeProfiles } from '../ring/worker-profiles.ts'
import { smallModel } from '../testing/small-model.ts'
import {
  exampleCurl,
  formatIncident,
  formatProgress,
  formatReady,
  type ReadyFacts,
  readyJson,
  stageWeightBytes,
} from './serve-report.ts'

const plan = planRing({
  ring: 'ring',
  model: { id: 'small', path: '/models/small' },
  config: smallModel,
  profiles: takeProfiles(mixedProfiles, 4),
  stages: null,
  weightType: 'F16',
  kvType: 'auto',
  contextLength: null,
  kvBytes: null,
  spareBytes: 2 ** 30,
  threads: 1,
  device: null,
  cacheDir: '/cache',
  maxSessions: 64,
  maxQueued: 256,
  serving: defaultServing,
})
const description = describeShape(smallModel)
const facts: ReadyFacts = {
  url: 'http://127.0.0.1:8000',
  startedMs: 2100,
  plan,
  description,
  pids: [11, 12, null, 14],
  instruct: false,
  apiKeyRequired: false,
  runFolder: '/home/run/1',
}

test('stages together hold the model, a tied head holding the embedding once more', () => {
  const held = plan.assignments.map((assignment) => stageWeightBytes(description, assignment))
  const total = held.reduce((sum, bytes) => sum + bytes, 0)
  expect(total).toBe(description.bytes.F16 + description.embedding.bytes.F16)
})

test('the banner tells who holds what and what to paste', () => {
  const text = formatReady(facts, 'npx deos')
  expect(text).toContain('small is ready at http://127.0.0.1:8000 after 2.1 s.')
  expect(text).toMatch(/0-workstation +\[0, 4\) +100%/)
  expect(text).toMatch(/2-mini +\[6, 7\) +30%/)
  expect(text).toContain(exampleCurl(facts))
  expect(text).toContain('npx deos chat\n')
  expect(text).toContain('This is a base model')
})

test('the example asks an instruct model by chat, elsewhere by address, with a key where one is needed', () => {
  const other = { ...facts, instruct: true, apiKeyRequired: true, url: 'http://127.0.0.1:9000' }
  expect(exampleCurl(other)).toContain('http://127.0.0.1:9000/v1/chat/completions')
  expect(exampleCurl(other)).toContain('authorization: Bearer $DEOS_API_KEY')
  expect(formatReady(other, 'deos')).toContain('deos chat --url http://127.0.0.1:9000')
})

test('the example is one shell command with a JSON body', () => {
  const body = /-d '(.*)'$/.exec(exampleCurl(facts))?.[1]
  expect(JSON.parse(body!)).toMatchObject({ model: 'small', max_tokens: 48 })
})

test('programs get the same facts with pids', () => {
  const ready = readyJson(facts, 10)
  expect(ready.workers.map(({ pid, layers }) => [pid, layers.first])).toEqual([
    [11, 0],
    [12, 4],
    [null, 6],
    [14, 7],
  ])
  expect(ready.gateway.pid).toBe(10)
})

test('the moving line names who is not ready yet', () => {
  const text = formatProgress(plan, [
    { phase: 'ready' },
    { phase: 'loading', doneBytes: 5, totalBytes: 10 },
    { phase: 'loading', doneBytes: 0, totalBytes: 0 },
    { phase: 'starting' },
  ])
  expect(text).toBe('1 of 4 workers ready · 1-desktop loading 50% · 2-mini loading 0% · 3-laptop starting')
})

test('incidents are one line each', () => {
  const died = { phase: 'restarting', reason: 'ended by SIGKILL', delayMs: 200 } as const
  expect(formatIncident('1-desktop', died)).toBe(
    'Worker 1-desktop died (ended by SIGKILL); it is started again in 200 ms.',
  )
  expect(formatIncident('1-desktop', { phase: 'ready' })).toBe('Worker 1-desktop is ready again.')
  expect(formatIncident('1-desktop', { phase: 'loading', doneBytes: 0, totalBytes: 1 })).toBeNull()
})
