import { Agent, request } from 'node:http'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { say } from '../testing/scripted-backend.ts'
import { startGateway } from '../testing/start-gateway.ts'

interface Answer {
  readonly status: number
  readonly body: string
}

function send(
  url: string,
  path: string,
  type: string,
  body: Uint8Array | string,
  agent: Agent,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request(
      `${url}${path}`,
      { method: 'POST', agent, headers: { 'content-type': type } },
      (response) => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => parts.push(part))
        response.on('end', () =>
          resolve({ status: response.statusCode!, body: Buffer.concat(parts).toString() }),
        )
      },
    )
    call.on('error', reject)
    call.end(body)
  })
}

const oddValue = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom(
    -1,
    0,
    1e308,
    -1e308,
    2 ** 53,
    0.1,
    '',
    '\ud800',
    '__proto__',
    null,
    true,
    [],
    {},
    [[]],
    [[1], 'a'],
  ),
)
const messages = fc.array(
  fc.record({
    role: fc.oneof(fc.constantFrom('user', 'system', 'assistant', 'tool'), fc.string()),
    content: fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(fc.record({ type: fc.string(), text: fc.string() })),
      oddValue,
    ),
  }),
  { maxLength: 3 },
)
/** Mostly right, with one or a few fields gone wrong: what gets deepest into the server. */
const nearRequest = fc
  .tuple(
    fc.record({ model: fc.constant('bytes'), messages, prompt: fc.string({ unit: 'binary' }) }),
    fc.dictionary(
      fc.constantFrom(
        ...[
          'n',
          'stream',
          'stream_options',
          'seed',
          'stop',
          'logprobs',
          'top_logprobs',
          'max_tokens',
          'temperature',
        ],
        ...[
          'top_p',
          'presence_penalty',
          'frequency_penalty',
          'logit_bias',
          'user',
          'echo',
          'suffix',
          'best_of',
          'top_k',
        ],
        ...[
          'min_p',
          'repetition_penalty',
          'tools',
          'tool_choice',
          'response_format',
          'modalities',
          'prompt',
          'messages',
        ],
        ...['model', '__proto__', 'constructor'],
      ),
      oddValue,
      { maxKeys: 3 },
    ),
  )
  .map(([request, odd]) => JSON.stringify({ ...request, ...odd }))

const brokenJson = fc
  .tuple(nearRequest, fc.nat(), fc.string({ maxLength: 3 }))
  .map(([text, at, extra]) => text.slice(0, at % (text.length + 1)) + extra)

const anyBody = fc.oneof(nearRequest, brokenJson, fc.string(), fc.json(), fc.uint8Array({ maxLength: 200 }))

test('any body gets 200 or a 4xx in the API’s shape, and the next request is unaffected', async () => {
  const { url, backend } = await startGateway((request) => say('ok', request))
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('/v1/chat/completions', '/v1/completions'),
      fc.oneof(
        { weight: 9, arbitrary: fc.constant('application/json') },
        { weight: 1, arbitrary: fc.constantFrom('text/plain', 'application/json; x', 'application/') },
      ),
      anyBody,
      async (path, type, body) => {
        const answer = await send(url, path, type, body, agent)
        if (answer.status !== 200) {
          expect(answer.status).toBeGreaterThanOrEqual(400)
          expect(answer.status).toBeLessThan(500)
          expect(JSON.parse(answer.body)).toEqual({
            error: {
              message: expect.stringMatching(/./),
              type: 'invalid_request_error',
              param: expect.toSatisfy((param: unknown) => param === null || typeof param === 'string'),
              code: expect.any(String),
            },
          })
        }
        const next = await send(
          url,
          '/v1/completions',
          'application/json',
          '{"model":"bytes","prompt":"x","max_tokens":5}',
          agent,
        )
        expect(next.status).toBe(200)
        expect(JSON.parse(next.body).choices[0].text).toBe('ok')
      },
    ),
    { numRuns: 300 },
  )
  agent.destroy()
  expect(backend.running).toBe(0)
})
