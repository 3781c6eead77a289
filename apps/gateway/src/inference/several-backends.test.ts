import { defaultSampling } from '@deos/domain'
import { plainNeeds } from '@deos/protocol'
import { expect, test } from 'vitest'
import type { Backend, BackendStatus, GenerateRequest } from './backend.ts'
import { SeveralBackends } from './several-backends.ts'

/** Answers with as many tokens as are let out, and says how many requests it has. */
class Slow implements Backend {
  ready = true
  taken = 0
  #let: () => void = () => undefined

  status(): BackendStatus {
    const usage = null
    return { ready: this.ready, active: this.taken, queued: 0, contextLength: 64, usage, details: {} }
  }

  async *generate() {
    this.taken += 1
    await new Promise<void>((resolve) => {
      this.#let = resolve
    })
    yield { sampled: { token: 1, logprobs: null }, finish: 'length' as const, cachedTokens: 0 }
  }

  embed(): Promise<Float32Array> {
    this.taken += 1
    return Promise.resolve(new Float32Array(1))
  }

  finish(): void {
    this.#let()
  }
}

const request: GenerateRequest = {
  ...{ id: 'r', tokens: Int32Array.of(1), maxTokens: 1, stopTokens: [], sampling: defaultSampling },
  ...{ tenant: 't', priority: 0, needs: plainNeeds, deadlineMs: 0 },
}
const { signal } = new AbortController()

async function drain(backend: Backend): Promise<number> {
  let count = 0
  for await (const _ of backend.generate(request, signal)) count += 1
  return count
}

test('requests go where least is to do, and never to a ring that is not ready', async () => {
  const [a, b, c] = [new Slow(), new Slow(), new Slow()]
  c.ready = false
  const several = new SeveralBackends([a, b, c])
  const first = [drain(several), drain(several)]
  expect([a.taken, b.taken, c.taken]).toEqual([1, 1, 0])
  b.finish()
  await first[1]
  const third = drain(several)
  expect([a.taken, b.taken, c.taken]).toEqual([1, 2, 0])
  a.finish()
  b.finish()
  expect(await Promise.all([...first, third])).toEqual([1, 1, 1])
  a.ready = false
  await several.embed({ ...request, pooling: 'mean' }, signal)
  expect([a.taken, b.taken]).toEqual([1, 3])
})

test('it is ready if one is', () => {
  const [a, b] = [new Slow(), new Slow()]
  const several = new SeveralBackends([a, b])
  a.ready = false
  b.taken = 3
  expect(several.status()).toMatchObject({ ready: true, active: 3, contextLength: 64 })
  b.ready = false
  expect(several.status().ready).toBe(false)
})
