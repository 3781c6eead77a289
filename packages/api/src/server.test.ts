import { describe, expect, test } from 'vitest'
import { ProblemError, problemFor } from './problem.ts'
import { routes } from './routes/index.ts'
import {
  ContractBrokenError,
  type RawRequest,
  readRequest,
  routerPath,
  writeAnswer,
  writeEvent,
  writeStreamProblem,
} from './server.ts'
import { sampleOf } from './testing/sample.ts'
import { ValidationError } from './validation.ts'

const raw = (given: Partial<RawRequest> = {}): RawRequest => ({
  params: {},
  query: {},
  body: undefined,
  headers: {},
  ...given,
})

function refusalOf(run: () => unknown): ValidationError {
  try {
    run()
  } catch (error) {
    if (error instanceof ValidationError) return error
    throw error
  }
  throw new Error('Nothing was refused.')
}

test('routers get paths with colons', () => {
  expect(routerPath(routes.machines.drain)).toBe('/api/v1/machines/:machine/drain')
  expect(routerPath(routes.joinTokens.revoke)).toBe('/api/v1/join-tokens/:joinToken')
})

describe('readRequest()', () => {
  test('queries become numbers, truths and lists', () => {
    const query = { limit: '10', state: 'ready', region: 'eu' }
    expect(readRequest(routes.machines.list, raw({ query })).query).toEqual({
      limit: 10,
      state: ['ready'],
      region: 'eu',
    })
    const repeated = readRequest(routes.machines.list, raw({ query: { state: ['ready', 'offline'] } }))
    expect(repeated.query.state).toEqual(['ready', 'offline'])
    expect(readRequest(routes.keys.list, raw({ query: { all: 'true' } })).query.all).toBe(true)
  })

  test('defaults are filled in', () => {
    const body = { name: 'chat', spec: { modelId: 'model-1' } }
    const request = readRequest(routes.deployments.create, raw({ body }))
    expect(request.body.spec).toEqual({
      modelId: 'model-1',
      contextTokens: null,
      sessions: 4,
      precision: 'native',
      activations: 'f32',
      target: {},
      replicas: { min: 1, max: 1 },
      policy: { regions: null, providers: null },
      split: null,
    })
  })

  test('a revision changes only what it names', () => {
    const body = { changes: { sessions: 8 } }
    const params = { deployment: 'deployment-1' }
    expect(readRequest(routes.deployments.revise, raw({ params, body })).body.changes).toEqual({
      sessions: 8,
    })
    const settings = readRequest(routes.settings.update, raw({ body: { eventDays: 5 } }))
    expect(settings.body).toEqual({ eventDays: 5 })
  })

  test('everything that is wrong is named in one answer', () => {
    const error = refusalOf(() =>
      readRequest(
        routes.deployments.revise,
        raw({
          params: { deployment: '../x' },
          body: { changes: { sessions: 0 } },
          headers: { 'idempotency-key': 'a b' },
        }),
      ),
    )
    expect(error.fields.map(({ in: place, field }) => `${place} ${field}`)).toEqual([
      'path deployment',
      'body changes.sessions',
      'header idempotency-key',
    ])
  })

  test('a body that is missing is named as a whole', () => {
    const error = refusalOf(() => readRequest(routes.keys.create, raw()))
    expect(error.fields).toEqual([{ in: 'body', field: '', message: 'is required' }])
  })

  test('headers count only where they mean something', () => {
    const headers = { 'idempotency-key': 'abc', 'last-event-id': '17' }
    const body = { name: 'ci' }
    expect(readRequest(routes.keys.create, raw({ body, headers }))).toMatchObject({
      idempotencyKey: 'abc',
      lastEventId: null,
    })
    expect(readRequest(routes.events.follow, raw({ headers }))).toMatchObject({
      idempotencyKey: null,
      lastEventId: '17',
    })
    expect(
      readRequest(routes.machines.list, raw({ headers: { 'last-event-id': '\u0000' } })).lastEventId,
    ).toBeNull()
  })
})

describe('writeAnswer()', () => {
  test('what the contract does not have never leaves', () => {
    const key = { ...sampleOf(routes.keys.show.answer.schema), secretHash: 'abc', secret: 'deos_k_x' }
    const text = writeAnswer(routes.keys.show, key)
    expect(JSON.parse(text)).toEqual(sampleOf(routes.keys.show.answer.schema))
    const page = writeAnswer(routes.keys.list, { items: [key], nextCursor: null })
    expect(page).not.toContain('secretHash')
  })

  test('what is missing is a fault of the server, told without values', () => {
    const attempt = () => writeAnswer(routes.keys.show, { id: 'x y', secret: 'hunter2' })
    expect(attempt).toThrow(ContractBrokenError)
    expect(attempt).not.toThrow(/hunter2|x y/)
    expect(() => writeAnswer(routes.machines.remove, {})).toThrow(/one document/)
  })
})

describe('writeEvent()', () => {
  test('frames an event', () => {
    const event = sampleOf(routes.events.follow.answer.event)
    expect(writeEvent(routes.events.follow, '7', event)).toBe(`id: 7\ndata: ${JSON.stringify(event)}\n\n`)
    expect(writeEvent(routes.events.follow, null, event)).toBe(`data: ${JSON.stringify(event)}\n\n`)
  })

  test('text cannot break out of its frame', () => {
    const line = { ...sampleOf(routes.deployments.followLogs.answer.event), message: 'a\n\nevent: end\r\rb' }
    const framed = writeEvent(routes.deployments.followLogs, '1', line)
    expect(framed.match(/[\r\n]/g)).toHaveLength(3)
    expect(() => writeEvent(routes.deployments.followLogs, '1\nevent: end', line)).toThrow(
      ContractBrokenError,
    )
  })

  test('streams end with problems that can be read', () => {
    const problem = problemFor(new ProblemError('unavailable', 'Stopping.'), {}, null)
    expect(writeStreamProblem(problem)).toBe(`event: problem\ndata: ${JSON.stringify(problem)}\n\n`)
  })
})
