import { type AnsweredRequest, ApiError, answeredRequestSchema, ProblemError, problemFor } from '@deos/api'
import { sampleOf } from '@deos/api/testing'
import { createLogger } from '@deos/service'
import { expect, onTestFinished, test } from 'vitest'
import { until } from '../testing/start-gateway.ts'
import { RecordHandover } from './record-handover.ts'

const record = (id: string, microUnits = '0'): AnsweredRequest => ({
  ...sampleOf(answeredRequestSchema),
  id: id as AnsweredRequest['id'],
  cost: { currency: 'USD', microUnits },
})

function start(record: (ids: readonly string[]) => void, capacity = 100) {
  let lost = 0
  const handover = new RecordHandover(
    { maxDelayMs: 1, batchSize: 4, capacity, retry: { firstDelayMs: 1, maxDelayMs: 5 } },
    {
      client: { record: async ({ body }) => record(body.requests.map(({ id }) => id)) as undefined },
      logger: createLogger({ name: 'gateway', level: 'silent', format: 'json' }),
      onLost: (count) => {
        lost += count
      },
    },
  )
  onTestFinished(() => handover.stop())
  return { handover, lost: () => lost }
}

const away = () => {
  throw ApiError.unreachable('It', null)
}
const numbered = (count: number) => Array.from({ length: count }, (_, index) => `r${index}`)

test('hands over every record in batches, again until it is taken', async () => {
  let failures = 3
  const taken: string[][] = []
  const { handover } = start((ids) => {
    if (failures-- > 0) away()
    taken.push([...ids])
  })
  for (const id of numbered(10)) handover.add(record(id, '5'))
  expect(handover.priced).toBe(10)
  await handover.drain(AbortSignal.timeout(5000))
  expect(taken.flat().sort()).toEqual(numbered(10).sort())
  expect(taken.every(({ length }) => length <= 4)).toBe(true)
  expect([handover.size, handover.priced]).toEqual([0, 0])
})

test('when too much waits, what cost nothing is dropped, oldest first, and what cost something never', async () => {
  let open = false
  const taken: string[] = []
  const { handover, lost } = start((ids) => {
    if (!open) away()
    taken.push(...ids)
  }, 3)
  handover.add(record('paid-1', '1'))
  await until(() => handover.size === 1)
  for (const id of ['free-1', 'free-2', 'free-3']) handover.add(record(id))
  for (const id of ['paid-2', 'paid-3', 'paid-4']) handover.add(record(id, '1'))
  expect(lost()).toBe(3)
  open = true
  await handover.drain(AbortSignal.timeout(5000))
  expect(taken.sort()).toEqual(['paid-1', 'paid-2', 'paid-3', 'paid-4'])
})

test('one that is refused does not hold up the others', async () => {
  const taken: string[] = []
  const { handover, lost } = start((ids) => {
    if (ids.includes('r2')) {
      throw ApiError.ofProblem(problemFor(new ProblemError('validation', 'As played.'), {}, null))
    }
    taken.push(...ids)
  })
  for (const id of numbered(6)) handover.add(record(id, '1'))
  await handover.drain(AbortSignal.timeout(5000))
  expect(taken.sort()).toEqual(['r0', 'r1', 'r3', 'r4', 'r5'])
  expect([lost(), handover.priced]).toEqual([1, 0])
})

test('a drain ends when its time is up', async () => {
  const { handover } = start(away)
  handover.add(record('r0'))
  await handover.drain(AbortSignal.timeout(20))
  expect(handover.size).toBe(1)
})
