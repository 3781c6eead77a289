import { expect, test } from 'vitest'
import { ApiError } from '../client/api-error.ts'
import { createClient } from '../client/client.ts'
import { everyRoute } from '../contract/every-route.ts'
import type { Route } from '../contract/route.ts'
import { ProblemError } from '../problem.ts'
import { routes } from '../routes/index.ts'
import { MockApi } from './mock-api.ts'
import { sampleOf } from './sample.ts'

const options = { baseUrl: 'http://mock.invalid' }

function sampleCall({ params, body }: Route) {
  const values = Object.entries(params).map(([name, schema]) => [name, sampleOf(schema)])
  return { params: Object.fromEntries(values), ...(body && { body: sampleOf(body) }) }
}

test.each(everyRoute(routes))(
  '$id goes from client to server and back',
  async ({ id, group, name, route }) => {
    const api = new MockApi(routes)
    const client = createClient(routes, options, api) as unknown as Readonly<
      Record<string, Readonly<Record<string, (call: unknown) => unknown>>>
    >
    const result = client[group]![name]!(sampleCall(route))
    const { answer } = route
    if (answer.kind === 'stream') {
      const events: unknown[] = []
      for await (const event of result as AsyncIterable<unknown>) events.push(event)
      expect(events).toEqual(
        [0, 1, 2].map((index) => ({ id: String(index + 1), data: sampleOf(answer.event, index) })),
      )
    } else if (answer.kind === 'bytes') {
      const chunks: Uint8Array[] = []
      for await (const chunk of (await result) as AsyncIterable<Uint8Array>) chunks.push(chunk)
      expect(new TextDecoder().decode(chunks[0])).toBe('sample')
    } else if (answer.kind === 'empty') {
      expect(await result).toBeUndefined()
    } else if (answer.kind === 'page') {
      expect(await result).toMatchObject({ nextCursor: null, items: { length: 3 } })
    } else {
      expect(await result).toEqual(sampleOf(answer.schema))
    }
    expect(api.calls).toEqual([id])
  },
)

test('handlers answer instead of samples, and see checked requests', async () => {
  const machine = sampleOf(routes.machines.show.answer.schema)
  const api = new MockApi(routes, {
    machines: {
      list: ({ query }) => ({ items: query.limit === 3 ? [machine] : [], nextCursor: 'next' }),
      drain: () => {
        throw new ProblemError('conflict', 'It is gone.', { code: 'MACHINE_REMOVED' })
      },
    },
  })
  const client = createClient(routes, options, api)
  expect(await client.machines.list({ query: { limit: 3 } })).toEqual({
    items: [machine],
    nextCursor: 'next',
  })
  expect((await client.machines.list()).items).toEqual([])
  await expect(client.machines.drain({ params: { machine: 'a' }, body: {} })).rejects.toMatchObject({
    code: 'MACHINE_REMOVED',
    status: 409,
  })
})

test('bad input and unknown addresses are refused as by the server', async () => {
  const api = new MockApi(routes)
  const client = createClient(routes, options, api)
  const refused = await client.keys.create({ body: { name: '' } }).catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(ApiError)
  expect(refused).toMatchObject({ problemName: 'validation', problem: { errors: [{ field: 'name' }] } })
  expect((await api.fetch('http://mock.invalid/api/v1/nothing', {})).status).toBe(404)
  expect((await api.fetch('http://mock.invalid/machines', {})).status).toBe(404)
  expect((await api.fetch('http://mock.invalid/api/v1/keys', { method: 'POST', body: '{' })).status).toBe(400)
})
