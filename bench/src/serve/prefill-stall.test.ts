import { setTimeout } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { StreamOptions, StreamRecord } from './completion-client.ts'
import { gapsWithin, measureStall } from './prefill-stall.ts'
import type { ServeRequest } from './workload.ts'

test('gaps count if any part of them lies within', () => {
  const tokens = [0, 10, 20, 50, 60, 70]
  expect(gapsWithin(tokens, 25, 45)).toEqual([30])
  expect(gapsWithin(tokens, 15, 55)).toEqual([10, 30, 10])
  expect(gapsWithin(tokens, 20, 50)).toEqual([30])
  expect(gapsWithin(tokens, 80, 90)).toEqual([])
})

const stream: ServeRequest = { prompt: [1], maxTokens: 1000 }
const long: ServeRequest = { prompt: [1, 2, 3], maxTokens: 1 }

/** Gives one token a turn of the event loop to every stream, none while a long prompt is read. */
class StallingServer {
  reading = false
  aborted = 0

  constructor(
    private readonly streamTokens: number,
    /** Whether it ever gets to the end of a long prompt. */
    private readonly reads = true,
  ) {}

  complete = async (
    request: ServeRequest,
    { signal, onTokens }: StreamOptions = {},
  ): Promise<StreamRecord> => {
    const startedMs = performance.now()
    if (request === long) {
      if (!this.reads) return new Promise(() => undefined)
      this.reading = true
      await setTimeout(60)
      this.reading = false
      // The other streams get their next token first.
      await setTimeout(5)
      return { startedMs, tokensMs: [performance.now()], tokens: 1, cachedTokens: 0 }
    }
    const tokensMs: number[] = []
    while (tokensMs.length < this.streamTokens) {
      await setTimeout(1)
      if (signal?.aborted) {
        this.aborted += 1
        throw signal.reason
      }
      if (this.reading) continue
      tokensMs.push(performance.now())
      onTokens?.(tokensMs)
    }
    return { startedMs, tokensMs, tokens: tokensMs.length, cachedTokens: 0 }
  }
}

test('a stall shows in the gaps during the prefill and not in the baseline; the streams are ended', async () => {
  const server = new StallingServer(1000)
  const result = await measureStall(server, { streams: [stream, stream], long, baselineTokens: 20 })
  expect(result.duringP99Ms).toBeGreaterThan(50)
  expect(result.baselineMs).toBeLessThan(result.duringP99Ms)
  expect(result.prefillMs).toBeGreaterThan(60)
  expect(result.duringTokens).toBeGreaterThanOrEqual(2)
  expect(server.aborted).toBe(2)
})

test.each([10, 40])('streams that end after %i tokens, too early, are an error', async (tokens) => {
  const server = new StallingServer(tokens, false)
  await expect(measureStall(server, { streams: [stream, stream], long, baselineTokens: 20 })).rejects.toThrow(
    'too few tokens',
  )
})
