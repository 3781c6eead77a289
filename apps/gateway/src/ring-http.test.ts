import { defaultSampling } from '@deos/domain'
import { fakeGeneration } from '@deos/protocol/testing'
import { expect, test } from 'vitest'
import { RingBackend } from './inference/ring-backend.ts'
import { byteModel, bytesOf, END, textOf } from './testing/byte-model.ts'
import { FakeRing, fakeModel } from './testing/fake-ring.ts'
import { serve, until } from './testing/start-gateway.ts'

const maxTokens = 40

/** What the fake model says to a prompt when nothing ever fails. */
function expectedText(prompt: string, seed: number): string {
  const sampling = { ...defaultSampling, seed: String(seed) }
  return textOf(fakeGeneration(fakeModel, bytesOf(prompt), sampling, maxTokens, [END]))
}

const questions = (count: number) =>
  Array.from({ length: count }, (_, seed) => ({ prompt: `question ${seed}`, seed }))

async function startRingGateway() {
  const ring = new FakeRing()
  await ring.start()
  let interrupted = 0
  const backend = new RingBackend(ring.connection, {
    model: null,
    maxInterruptions: 5,
    onInterrupted: () => {
      interrupted += 1
    },
  })
  const { url } = await serve(byteModel(backend))
  /** Resolves with the first token; reading the text takes until the last. */
  const ask = async ({ prompt, seed }: { prompt: string; seed: number }) => {
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'bytes',
        prompt: bytesOf(prompt),
        seed,
        max_tokens: maxTokens,
        stream: true,
      }),
    })
    return async () => {
      const events = (await response.text()).split('\n\n').filter((event) => event.startsWith('data: {'))
      return events.map((event) => JSON.parse(event.slice(6)).choices[0].text).join('')
    }
  }
  return { ring, ask, interrupted: () => interrupted }
}

/** Every page is free again on every stage. */
async function expectNoLeak(ring: FakeRing): Promise<void> {
  await until(() => {
    const { status } = ring.connection
    const reports = status?.reports ?? []
    return (
      status?.active === 0 &&
      reports.length === 3 &&
      reports.every(({ kvPagesFree, capacity }) => kvPagesFree === capacity.kvPages)
    )
  })
}

test('answers through HTTP are those of the model, and nobody gets another’s', async () => {
  const { ask, ring } = await startRingGateway()
  const list = questions(24)
  const answers = await Promise.all(list.map(async (question) => (await ask(question))()))
  for (const [index, { prompt, seed }] of list.entries()) {
    expect(answers[index]).toBe(expectedText(prompt, seed))
  }
  await expectNoLeak(ring)
})

test.each([0, 1, 2])('a crash of stage %i in mid-answer changes no answer', async (stage) => {
  const { ask, ring, interrupted } = await startRingGateway()
  const list = questions(8)
  const begun = list.map(ask)
  await Promise.any(begun)
  ring.crash(stage)
  const answers = await Promise.all(begun.map(async (answer) => (await answer)()))
  for (const [index, { prompt, seed }] of list.entries()) {
    expect(answers[index]).toBe(expectedText(prompt, seed))
  }
  expect(interrupted()).toBeGreaterThan(0)
  await expectNoLeak(ring)
})
