import { expect, test } from 'vitest'
import type { StreamRecord } from './completion-client.ts'
import { closedLoop, openLoop, summarize, tokenGaps } from './load.ts'
import type { ServeRequest } from './workload.ts'

const requests: readonly ServeRequest[] = [1, 2, 3, 4, 5].map((token) => ({ prompt: [token], maxTokens: 2 }))

/** A server that answers when told to. */
class ManualServer {
  readonly asked: ServeRequest[] = []
  most = 0
  #open: { resolve(record: StreamRecord): void; reject(error: Error): void }[] = []

  complete = (request: ServeRequest): Promise<StreamRecord> => {
    this.asked.push(request)
    return new Promise((resolve, reject) => {
      this.#open.push({ resolve, reject })
      this.most = Math.max(this.most, this.#open.length)
    })
  }

  get open(): number {
    return this.#open.length
  }

  async answer(): Promise<void> {
    this.#open.shift()!.resolve({ startedMs: 0, tokensMs: [10, 12], tokens: 2, cachedTokens: 1 })
    await new Promise(setImmediate)
  }

  async fail(): Promise<void> {
    this.#open.shift()!.reject(new Error('no'))
    await new Promise(setImmediate)
  }
}

test('a closed loop keeps its clients busy and no more', async () => {
  const server = new ManualServer()
  const result = closedLoop(server, requests, 2)
  expect(server.open).toBe(2)
  for (let answered = 0; answered < 5; answered++) await server.answer()
  expect((await result).streams).toHaveLength(5)
  expect(server.most).toBe(2)
  expect(server.asked).toEqual(requests)
})

test('an open loop does not wait for answers', async () => {
  const server = new ManualServer()
  const result = openLoop(server, requests, [0, 0, 1, 1, 2])
  while (server.open < 5) await new Promise(setImmediate)
  for (let answered = 0; answered < 5; answered++) await server.answer()
  expect((await result).streams).toHaveLength(5)
})

test.each([
  ['closed', (server: ManualServer) => closedLoop(server, requests, 5)],
  ['open', (server: ManualServer) => openLoop(server, requests, [0, 0, 0, 0, 0])],
] as const)('a failure ends the %s loop once everything has ended', async (_, start) => {
  const server = new ManualServer()
  let ended = false
  const result = start(server).finally(() => {
    ended = true
  })
  result.catch(() => undefined)
  while (server.open < 5) await new Promise(setImmediate)
  await server.fail()
  expect(ended).toBe(false)
  for (let answered = 0; answered < 4; answered++) await server.answer()
  await expect(result).rejects.toThrow('no')
})

test('a summary counts tokens over the whole time and gaps within streams', () => {
  const stream = (tokensMs: readonly number[]): StreamRecord => ({
    startedMs: 100,
    tokensMs,
    tokens: 3,
    cachedTokens: 4,
  })
  const summary = summarize({ elapsedMs: 2000, streams: [stream([110, 115, 125]), stream([130, 130, 135])] })
  expect(summary).toMatchObject({
    tokensPerSecond: 3,
    requestsPerSecond: 1,
    cachedTokens: 8,
    mergedTokens: 1,
  })
  expect(summary.ttftMs.p50).toBe(20)
  // Linear between ranks: 0.99 of the way from 10 to 30.
  expect(summary.ttftMs.p99).toBeCloseTo(29.8, 10)
  // Gaps 5, 10, 0, 5.
  expect(summary.tpotMs.p50).toBe(5)
  expect(summary.tpotMs.p99).toBeCloseTo(9.85, 10)
})

test('tokenGaps() of fewer than two tokens are none', () => {
  expect(tokenGaps([])).toEqual([])
  expect(tokenGaps([5])).toEqual([])
  expect(tokenGaps([5, 7, 12])).toEqual([2, 5])
})
