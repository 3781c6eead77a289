import { defaultSampling, modelId, workerId } from '@deos/domain'
import type { OpenRequest, RingStatus } from '@deos/protocol'
import { expect, test } from 'vitest'
import { END } from '../testing/byte-model.ts'
import { noUsage, type ScriptedRing, startRing } from '../testing/scripted-ring.ts'
import { until } from '../testing/start-gateway.ts'
import type { GenerateRequest } from './backend.ts'
import {
  DeadlineError,
  InterruptedError,
  NotReadyError,
  PromptTooLongError,
  QueueFullError,
  RefusedRequestError,
} from './errors.ts'
import { RingBackend } from './ring-backend.ts'

const request: GenerateRequest = {
  id: 'answer',
  tokens: Int32Array.of(10, 11, 12),
  maxTokens: 100,
  stopTokens: [END],
  sampling: { ...defaultSampling, seed: '42' },
  deadlineMs: 0,
  tenant: 'anonymous',
  priority: 0,
  needs: { adapter: null, grammar: null },
}

async function startBackend(
  options: { maxInterruptions?: number; resumePatienceMs?: number; model?: string } = {},
) {
  const { ring, connection } = await startRing(options.resumePatienceMs)
  const interruptions: string[] = []
  const backend = new RingBackend(connection, {
    model: options.model ?? null,
    maxInterruptions: options.maxInterruptions ?? 5,
    onInterrupted: (id) => interruptions.push(id),
  })
  return { ring, backend, interruptions }
}

/** Plays tokens from `first` on; the last one ends the answer. */
function play(ring: ScriptedRing, open: OpenRequest, tokens: readonly number[], first = open.resumed): void {
  for (const [offset, token] of tokens.entries()) {
    ring.token(open, first + offset, token, token === END ? 'stop' : null)
  }
}

async function collect(
  backend: RingBackend,
  signal = new AbortController().signal,
  onToken: (token: number) => void = () => undefined,
): Promise<number[]> {
  const tokens: number[] = []
  for await (const { sampled } of backend.generate(request, signal)) {
    tokens.push(sampled.token)
    onToken(sampled.token)
  }
  return tokens
}

test('opens with what was asked and delivers tokens up to the end', async () => {
  const { ring, backend } = await startBackend()
  ring.onOpen = (open) => play(ring, open, [1, 2, END])
  expect(await collect(backend)).toEqual([1, 2, END])
  expect(ring.opened).toHaveLength(1)
  expect(ring.opened[0]).toMatchObject({
    resumed: 0,
    maxTokens: 100,
    stopTokens: [END],
    sampling: { seed: '42' },
  })
  expect([...ring.opened[0]!.tokens]).toEqual([10, 11, 12])
  expect(ring.cancelled).toEqual([])
})

test('passes on whose request it is, how urgent, and what it needs', async () => {
  const { ring, backend } = await startBackend()
  ring.onOpen = (open) => {
    ring.token(open, 0, 1, null, 2)
    ring.token(open, 1, END, 'stop', 2)
  }
  const needs = { adapter: 'poet', grammar: '{"type":"json"}' }
  const cached: number[] = []
  const asked = { ...request, tenant: 'ada', priority: 7, needs }
  for await (const { cachedTokens } of backend.generate(asked, new AbortController().signal)) {
    cached.push(cachedTokens)
  }
  expect(ring.opened[0]).toMatchObject({ tenant: 'ada', priority: 7, needs, pooling: null })
  expect(cached).toEqual([2, 2])
})

test('asks for one vector', async () => {
  const { ring, backend } = await startBackend()
  ring.onOpen = (open) => ring.embed(open, Float32Array.of(1, -2, 0.5))
  const { maxTokens: _, stopTokens: __, sampling: ___, ...common } = request
  const vector = await backend.embed({ ...common, pooling: 'mean' }, new AbortController().signal)
  expect([...vector]).toEqual([1, -2, 0.5])
  expect(ring.opened[0]).toMatchObject({ pooling: 'mean' })
})

test('a vector that is not wanted any more is cancelled', async () => {
  const { ring, backend } = await startBackend()
  const controller = new AbortController()
  ring.onOpen = () => controller.abort(new Error('enough'))
  const { maxTokens: _, stopTokens: __, sampling: ___, ...common } = request
  await expect(backend.embed({ ...common, pooling: 'last' }, controller.signal)).rejects.toThrow('enough')
  await until(() => ring.cancelled.length > 0)
})

test('a fault is a pause: the answer resumes with prompt and delivered tokens', async () => {
  const { ring, backend, interruptions } = await startBackend()
  ring.onOpen = (open) => {
    if (ring.opened.length === 1) play(ring, open, [1, 2])
    else play(ring, open, [3, END])
  }
  const tokens = await collect(backend, undefined, (token) => {
    if (token !== 2) return
    ring.setReady(false)
    ring.fail(ring.opened[0]!, 'ring_fault')
    setTimeout(() => ring.setReady(true), 5)
  })
  expect(tokens).toEqual([1, 2, 3, END])
  expect(ring.opened[1]).toMatchObject({ resumed: 2, maxTokens: 100, sampling: { seed: '42' } })
  expect([...ring.opened[1]!.tokens]).toEqual([10, 11, 12, 1, 2])
  expect(ring.opened[1]!.session).not.toBe(ring.opened[0]!.session)
  expect(interruptions).toEqual(['answer'])
})

test.each(['leader', 'tail'] as const)('losing the link to the %s is a pause too', async (side) => {
  const { ring, backend, interruptions } = await startBackend()
  ring.onOpen = (open) => play(ring, open, ring.opened.length === 1 ? [1, 2] : [3, END])
  const tokens = await collect(backend, undefined, (token) => {
    if (token === 2) ring.cut(side)
  })
  expect(tokens).toEqual([1, 2, 3, END])
  expect(interruptions).toEqual(['answer'])
})

test('tokens that come twice are delivered once', async () => {
  const { ring, backend } = await startBackend()
  ring.onOpen = (open) => {
    play(ring, open, [1, 2], 0)
    play(ring, open, [1, 2, 3, END], 0)
  }
  expect(await collect(backend)).toEqual([1, 2, 3, END])
})

test('a token that went missing is generated again, not skipped', async () => {
  const { ring, backend } = await startBackend()
  ring.onOpen = (open) => {
    if (ring.opened.length === 1) {
      play(ring, open, [1], 0)
      play(ring, open, [3, END], 2)
    } else {
      play(ring, open, [2, 3, END])
    }
  }
  expect(await collect(backend)).toEqual([1, 2, 3, END])
  expect(ring.cancelled).toContain(ring.opened[0]!.session)
})

test('late tokens of an attempt that failed are dropped', async () => {
  const { ring, backend } = await startBackend()
  ring.onOpen = (open) => {
    if (ring.opened.length === 1) {
      play(ring, open, [1], 0)
      ring.fail(open, 'ring_fault')
    } else {
      play(ring, ring.opened[0]!, [99], 1)
      play(ring, open, [2, END])
    }
  }
  expect(await collect(backend)).toEqual([1, 2, END])
})

test('an answer that breaks the ring again and again is given up', async () => {
  const { ring, backend, interruptions } = await startBackend({ maxInterruptions: 2 })
  ring.onOpen = (open) => ring.fail(open, 'ring_fault')
  await expect(collect(backend)).rejects.toBeInstanceOf(InterruptedError)
  expect(interruptions).toHaveLength(3)
  expect(ring.opened).toHaveLength(3)
})

test('a ring that does not come back in time ends the answer', async () => {
  const { ring, backend } = await startBackend({ resumePatienceMs: 5 })
  ring.onOpen = (open) => {
    ring.setReady(false)
    ring.fail(open, 'ring_fault')
  }
  await expect(collect(backend)).rejects.toBeInstanceOf(InterruptedError)
})

test.each([
  ['queue_full', QueueFullError],
  ['not_ready', NotReadyError],
  ['draining', NotReadyError],
  ['prompt_too_long', PromptTooLongError],
  ['invalid', RefusedRequestError],
] as const)('a refusal "%s" is told apart', async (code, type) => {
  const { ring, backend } = await startBackend()
  ring.onOpen = (open) => ring.reject(open, code, 1500)
  const error = await collect(backend).catch((error: unknown) => error)
  expect(error).toBeInstanceOf(type)
  if (error instanceof QueueFullError) expect(error.retryAfterMs).toBe(1500)
  expect(ring.opened).toHaveLength(1)
})

test('a deadline that the ring tells ends the answer', async () => {
  const { ring, backend } = await startBackend()
  ring.onOpen = (open) => ring.fail(open, 'deadline')
  await expect(collect(backend)).rejects.toBeInstanceOf(DeadlineError)
})

test('aborting cancels in the ring at once and throws the reason', async () => {
  const { ring, backend } = await startBackend()
  const controller = new AbortController()
  ring.onOpen = (open) => play(ring, open, [1])
  const reason = new Error('enough')
  const pending = collect(backend, controller.signal, () => controller.abort(reason))
  await expect(pending).rejects.toBe(reason)
  await until(() => ring.cancelled.length > 0)
  expect(ring.cancelled).toEqual([ring.opened[0]!.session])
})

test('aborting while nothing comes cancels too', async () => {
  const { ring, backend } = await startBackend()
  const controller = new AbortController()
  const reason = new Error('enough')
  ring.onOpen = () => controller.abort(reason)
  await expect(collect(backend, controller.signal)).rejects.toBe(reason)
  await until(() => ring.cancelled.length > 0)
})

test('leaving the loop cancels in the ring', async () => {
  const { ring, backend } = await startBackend()
  ring.onOpen = (open) => play(ring, open, [1, 2])
  for await (const { sampled } of backend.generate(request, new AbortController().signal)) {
    if (sampled.token === 2) break
  }
  await until(() => ring.cancelled.length > 0)
})

test('the status tells what the ring reports', async () => {
  const { ring, backend } = await startBackend()
  expect(backend.status()).toMatchObject({
    ready: true,
    active: 3,
    queued: 2,
    contextLength: 1600,
    details: {
      epoch: 1,
      stages: [{ stage: 0, worker: 'w0', layers: [0, 4], kv_pages_free: 90, kv_pages: 100 }],
    },
  })
  ring.cut('leader')
  await until(() => !backend.status().ready)
  await until(() => backend.status().ready)
})

test('a ring that holds another model takes nothing, and says so', async () => {
  const capacity = { kvPages: 8, pageTokens: 16, contextLength: 128, maxBatchTokens: 64 }
  const report = {
    ...{
      worker: workerId('w'),
      stage: 0,
      layers: [0, 1] as const,
      kvPagesFree: 8,
      capacity,
      calibration: null,
      kv: null,
    },
    model: modelId('b'.repeat(64)),
  }
  const status: RingStatus = {
    ...{ type: 'status', ready: true, epoch: 1, active: 0, queued: 0, usage: noUsage },
    reports: [report],
  }
  const ring = {
    ready: true,
    status,
    generate: () => expect.unreachable('a foreign ring was asked'),
    cancel: () => undefined,
  }
  const backend = new RingBackend(ring, {
    model: 'a'.repeat(64),
    maxInterruptions: 5,
    onInterrupted: () => undefined,
  })
  expect(backend.status().ready).toBe(false)
  await expect(backend.generate(request, new AbortController().signal).next()).rejects.toThrow(
    /holds model bbbbbbbbbbbb, this gateway serves aaaaaaaaaaaa/,
  )
})
