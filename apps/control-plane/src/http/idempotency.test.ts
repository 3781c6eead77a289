import { everyRoute, ProblemError, routes } from '@deos/api'
import { sampleOf } from '@deos/api/testing'
import { expect, test } from 'vitest'
import { idempotentAnswers } from '../database/schema/index.ts'
import { describeDatabases } from '../database/testing/databases.ts'
import { type KeyedCall, requestDigest, StoredIdempotency, secretAnswers } from './idempotency.ts'

const call: KeyedCall = {
  caller: 'user:user-1@org-1',
  operation: 'projects.create',
  key: 'k1',
  request: { body: { name: 'a', title: 'b' } },
  holdsSecret: false,
}
const answered = { status: 201, text: '{"id":"project-1"}' }

const codeOf = (attempt: Promise<unknown>) =>
  attempt.then(
    () => 'answered',
    (error: unknown) => (error instanceof ProblemError ? error.problem : String(error)),
  )

describeDatabases('answers of repeated calls', (open) => {
  async function prepared() {
    const database = await open()
    let nowMs = Date.UTC(2026, 0, 5)
    const idempotency = new StoredIdempotency(database, () => new Date(nowMs))
    const pass = (ms: number) => {
      nowMs += ms
    }
    return { database, idempotency, pass }
  }

  test('are those of the first call, which alone does anything', async () => {
    const { idempotency } = await prepared()
    let runs = 0
    const work = async () => ({ ...answered, text: `{"run":${++runs}}` })
    const first = await idempotency.answer(call, work)
    const sameAgain = { ...call, request: { body: { title: 'b', name: 'a' } } }
    expect(await idempotency.answer(sameAgain, work)).toEqual(first)
    expect(runs).toBe(1)
    const others = [
      { ...call, caller: 'user:user-2@org-1' },
      { ...call, operation: 'keys.create' },
      { ...call, key: 'k2' },
    ]
    for (const other of others) await idempotency.answer(other, work)
    expect(runs).toBe(4)
  })

  test('a key of another request is refused', async () => {
    const { idempotency } = await prepared()
    await idempotency.answer(call, async () => answered)
    const other = { ...call, request: { body: { name: 'c' } } }
    expect(await codeOf(idempotency.answer(other, async () => answered))).toBe('idempotency-mismatch')
  })

  test('of many at once one runs, and the others are told to wait', async () => {
    const { idempotency } = await prepared()
    let runs = 0
    let finish = () => {}
    const finished = new Promise<void>((resolve) => {
      finish = resolve
    })
    const work = async () => {
      runs += 1
      await finished
      return answered
    }
    const attempts = Array.from({ length: 5 }, () => codeOf(idempotency.answer(call, work)))
    // Four come back while one still runs.
    const early: string[] = []
    for (const attempt of attempts) void attempt.then((outcome) => early.push(outcome))
    while (early.length < 4) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(early).toEqual(Array(4).fill('idempotency-in-progress'))
    finish()
    await Promise.all(attempts)
    expect([runs, early.at(-1)]).toEqual([1, 'answered'])
  })

  test('a failed call is forgotten at once, one that died after a minute', async () => {
    const { idempotency, pass } = await prepared()
    const failing = async () => {
      throw new ProblemError('conflict', 'Not now.')
    }
    expect(await codeOf(idempotency.answer(call, failing))).toBe('conflict')
    expect(await codeOf(idempotency.answer(call, async () => answered))).toBe('answered')

    const dying = { ...call, key: 'dying' }
    void idempotency.answer(dying, () => new Promise(() => {}))
    await expect
      .poll(() => codeOf(idempotency.answer(dying, async () => answered)))
      .toBe('idempotency-in-progress')
    pass(59_000)
    expect(await codeOf(idempotency.answer(dying, async () => answered))).toBe('idempotency-in-progress')
    pass(2_000)
    expect(await idempotency.answer(dying, async () => answered)).toEqual(answered)
    expect(await idempotency.answer(dying, async () => ({ status: 201, text: 'other' }))).toEqual(answered)
  })

  test('secrets are not kept, and a repeated call says so', async () => {
    const { database, idempotency } = await prepared()
    const secret = { ...call, operation: 'keys.create', holdsSecret: true }
    await idempotency.answer(secret, async () => ({ status: 201, text: '{"secret":"deos_k_hidden"}' }))
    const again = idempotency.answer(secret, async () => answered)
    await expect(again).rejects.toMatchObject({
      problem: 'conflict',
      hint: expect.stringContaining('revoke'),
    })
    expect(JSON.stringify(await database.queries.select().from(idempotentAnswers))).not.toContain('hidden')
  })

  test('old ones are dropped', async () => {
    const { database, idempotency, pass } = await prepared()
    await idempotency.answer(call, async () => answered)
    pass(25 * 3_600_000)
    await idempotency.answer({ ...call, key: 'new' }, async () => answered)
    await idempotency.forgetOld()
    const left = await database.queries.select({ key: idempotentAnswers.key }).from(idempotentAnswers)
    expect(left).toEqual([{ key: 'new' }])
  })
})

test('every answer to a create that holds a secret is known as such', () => {
  const withSecrets = everyRoute(routes).filter(({ route }) => {
    if (!route.idempotencyKey || route.answer.kind !== 'json') return false
    const fields = JSON.stringify(sampleOf(route.answer.schema))
    return /"deos_[a-z]_x{8}|"(secret|token|link|password|credential)":"/.test(fields)
  })
  expect(withSecrets.map(({ id }) => id)).toEqual([...secretAnswers].sort())
})

test('the digest of a request minds values, not the order of fields', () => {
  expect(requestDigest({ a: 1, b: [1, 2] })).toBe(requestDigest({ b: [1, 2], a: 1 }))
  const others = [{ a: 1, b: [2, 1] }, { a: '1', b: [1, 2] }, { a: 1, b: { 0: 1, 1: 2 } }, { a: 1 }, null]
  const digests = [{ a: 1, b: [1, 2] }, ...others].map(requestDigest)
  expect(new Set(digests).size).toBe(digests.length)
})
