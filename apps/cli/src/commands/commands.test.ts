import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { UsageError } from '../cli-error.ts'
import type { AnswerPiece } from '../http/server-client.ts'
import { collectAnswer, formatTimings } from './answer-timings.ts'
import { listBenches } from './bench.ts'
import { Conversation } from './conversation.ts'
import { formatConversion } from './convert.ts'
import { invocation } from './invocation.ts'
import { checkModelId, modelIdOf } from './model-path.ts'
import { samplingFields } from './sampling-options.ts'
import { checkWeightType } from './weight-type.ts'

const folder = mkdtempSync(join(tmpdir(), 'deos-cli-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('an answer is collected with times from request to first text and from there to the end', async () => {
  async function* pieces(): AsyncGenerator<AnswerPiece> {
    yield { text: '', finish: null, usage: null }
    yield { text: 'a', finish: null, usage: null }
    yield { text: 'b', finish: 'length', usage: null }
    yield { text: '', finish: null, usage: { prompt_tokens: 1, completion_tokens: 5, total_tokens: 6 } }
  }
  const times = [100, 150, 1150]
  const heard: string[] = []
  const answer = await collectAnswer(
    pieces(),
    (text) => heard.push(text),
    () => times.shift()!,
  )
  expect(heard).toEqual(['a', 'b'])
  expect(answer).toMatchObject({ text: 'ab', finish: 'length' })
  expect(answer.timings).toEqual({ ttftMs: 50, totalMs: 1050, tokensPerSecond: 4 })
  expect(formatTimings(answer)).toBe('5 tokens, first after 50 ms, then 4.0 tokens/s')
})

test('a conversation keeps what was said and forgets a question without an answer', () => {
  const conversation = new Conversation('Be brief.')
  conversation.ask('Hello')
  conversation.answered('Hi')
  conversation.ask('And?')
  conversation.answered('')
  expect(conversation.ask('Well?').map(({ role, content }) => `${role}: ${content}`)).toEqual([
    'system: Be brief.',
    'user: Hello',
    'assistant: Hi',
    'user: Well?',
  ])
  conversation.restart()
  expect(conversation.ask('New')).toHaveLength(2)
})

test('only choices that were made go into a request', () => {
  const none = { maxTokens: null, temperature: null, topP: null, seed: null, stop: [] }
  expect(samplingFields(none)).toEqual({})
  expect(samplingFields({ ...none, maxTokens: 1, temperature: 0, seed: 0, stop: ['x'] })).toEqual({
    max_tokens: 1,
    temperature: 0,
    seed: 0,
    stop: ['x'],
  })
})

test('a model is named after its file or folder', () => {
  expect(modelIdOf('/models/deos-7m')).toBe('deos-7m')
  expect(modelIdOf('/models/qwen3.Q8_0.gguf')).toBe('qwen3.Q8_0')
  expect(checkModelId('org/qwen3:8b')).toBe('org/qwen3:8b')
  for (const id of ['', ' x', '-x', 'a b', 'x'.repeat(129)]) {
    expect(() => checkModelId(id), id).toThrow(UsageError)
  }
})

test('weight types in any case, and which there are', () => {
  expect(checkWeightType('q8_0')).toBe('Q8_0')
  expect(checkWeightType('Native')).toBe('native')
  expect(() => checkWeightType('Q9')).toThrow('There is no weight type "Q9".')
})

test('benches are what the build left', () => {
  for (const name of ['ring.mjs', 'engine.mjs', 'engine.mjs.map']) writeFileSync(join(folder, name), '')
  expect(listBenches(folder)).toEqual(['engine', 'ring'])
  expect(listBenches(join(folder, 'none'))).toEqual([])
})

test('a conversion reports matrices that could not get the type', () => {
  const fallback = { tensor: 'blk.0.ffn_down.weight', wanted: 'Q4_K', used: 'Q5_0', columns: 704 } as const
  const report = {
    output: '/x.gguf',
    sizeBytes: 1536,
    tensors: 2,
    fallbacks: [fallback, fallback],
    notes: ['A note.'],
  }
  expect(formatConversion(report, 1500)).toBe(
    '/x.gguf: 1.5 KiB, 2 tensors, in 1.5 s.\n2 matrices: Q4_K does not divide their rows; stored as Q5_0.\nA note.',
  )
})

test('a person who called npm is told to call npx', () => {
  expect(invocation({ npm_execpath: '/usr/lib/npm' }, '/')).toBe('npx deos')
  expect(invocation({}, '/')).toBe('deos')
})
