import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { APICallError, generateText, streamText } from 'ai'
import { expect, test } from 'vitest'
import { QueueFullError } from '../inference/errors.ts'
import { say } from '../testing/scripted-backend.ts'
import { startGateway } from '../testing/start-gateway.ts'

const provider = (url: string) =>
  createOpenAICompatible({ name: 'deos', baseURL: `${url}/v1`, includeUsage: true })

test('generateText() gets text, finish reason and usage', async () => {
  const { url } = await startGateway((request) => say('Hello there', request))
  const result = await generateText({
    model: provider(url)('bytes'),
    system: 'Be kind.',
    prompt: 'Hi',
    maxOutputTokens: 50,
    stopSequences: [' there'],
  })
  expect(result.text).toBe('Hello')
  expect(result.finishReason).toBe('stop')
  expect(result.usage.inputTokens).toBe('system:Be kind.\nuser:Hi\n'.length)
  expect(result.usage.outputTokens).toBe('Hello there'.length)
})

test('streamText() gets every piece and the usage', async () => {
  const { url } = await startGateway((request) => say('äöü', request))
  const result = streamText({ model: provider(url)('bytes'), prompt: 'Hi' })
  const pieces: string[] = []
  for await (const piece of result.textStream) pieces.push(piece)
  expect(pieces).toEqual(['ä', 'ö', 'ü'])
  expect(await result.finishReason).toBe('stop')
  expect((await result.usage).outputTokens).toBe(7)
})

test('a refusal arrives with status and message, marked as worth retrying', async () => {
  const { url } = await startGateway(async function* () {
    yield* []
    throw new QueueFullError('64 requests wait already.', 1000)
  })
  const error = await generateText({ model: provider(url)('bytes'), prompt: 'Hi', maxRetries: 0 }).then(
    () => null,
    (error: unknown) => error,
  )
  expect(APICallError.isInstance(error)).toBe(true)
  expect(error).toMatchObject({
    statusCode: 429,
    isRetryable: true,
    message: expect.stringContaining('64 requests'),
  })
})
