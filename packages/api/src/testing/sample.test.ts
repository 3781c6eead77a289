import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { everyRoute } from '../contract/every-route.ts'
import { routes } from '../routes/index.ts'
import { sampleOf, samplesOf } from './sample.ts'

const answers = everyRoute(routes).flatMap(({ id, route: { answer } }) => {
  if (answer.kind === 'json' || answer.kind === 'page') return [{ id, schema: answer.schema as z.ZodType }]
  return answer.kind === 'stream' ? [{ id, schema: answer.event }] : []
})

describe.each(answers)('$id', ({ schema }) => {
  test('samples fit, differ, and are the same every time', () => {
    const samples = samplesOf(schema, 8)
    for (const sample of samples) expect(schema.safeParse(sample).success).toBe(true)
    expect(samplesOf(schema, 8)).toEqual(samples)
    expect(new Set(samples.map((sample) => JSON.stringify(sample))).size).toBeGreaterThan(1)
  })
})

test('bodies have samples too', () => {
  for (const { id, route } of everyRoute(routes)) {
    if (route.body) expect(() => sampleOf(route.body as z.ZodType), id).not.toThrow()
  }
})

test('events of every type come up', () => {
  const event = routes.events.follow.answer.event
  const types = new Set(samplesOf(event, 200).map(({ type }) => type))
  expect(types.size).toBe(event.options.length)
})

test('a form nobody can guess needs examples', () => {
  expect(() => sampleOf(z.string().regex(/^x{3}$/))).toThrow()
  expect(() => sampleOf(z.date())).toThrow(/needs? examples|examples/)
})
