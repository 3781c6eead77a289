import { defaultSampling } from '@deos/domain'
import { plainNeeds } from '@deos/protocol'
import { expect, test } from 'vitest'
import type { GenerateRequest } from '../inference/backend.ts'
import { ScriptedBackend } from '../testing/scripted-backend.ts'
import { judgeProbes, probePrompt } from './prompt-probes.ts'

const request: GenerateRequest = {
  ...{ id: 'r', tokens: Int32Array.of(1, 2, 3, 4, 5, 6), tenant: 't', priority: 0, deadlineMs: 0 },
  needs: { ...plainNeeds, adapter: 'a', grammar: 'root ::= "a"' },
  ...{ maxTokens: 9, stopTokens: [4], sampling: { ...defaultSampling, temperature: 1, seed: '7' } },
}

/** Says the last token of its prompt, with a doubt that grows with `doubt`. */
const speaker = (doubt: number) =>
  new ScriptedBackend(async function* ({ tokens }) {
    const token = tokens.at(-1)!
    const logprobs = {
      logprob: Math.log(1 - doubt),
      top: [
        { token, logprob: Math.log(1 - doubt) },
        { token: 99, logprob: Math.log(doubt) },
      ],
    }
    yield { sampled: { token, logprobs }, finish: 'length', cachedTokens: 0 }
  })

const how = { name: 'g0.', scope: 't#kv', count: 4 }

test('the last positions are asked for, in the scope, and nothing of the request’s own sampling matters', async () => {
  const backend = speaker(0.1)
  let first = 0
  const { tokens } = await probePrompt(backend, request, how, new AbortController().signal, () => {
    first += 1
  })
  expect(first).toBe(1)
  expect(tokens.map(([likeliest]) => likeliest?.token)).toEqual([6, 5, 4, 3])
  expect(backend.requests.map(({ tokens }) => tokens.length)).toEqual([6, 5, 4, 3])
  expect(new Set(backend.requests.map(({ id }) => id)).size).toBe(4)
  for (const asked of backend.requests)
    expect(asked).toMatchObject({
      ...{ tenant: 't#kv', maxTokens: 1, stopTokens: [], needs: { adapter: 'a', grammar: null } },
      sampling: { temperature: 0, logprobs: 64 },
    })
})

test('a prompt of fewer tokens has fewer positions', async () => {
  const short = { ...request, tokens: Int32Array.of(8) }
  const { tokens } = await probePrompt(speaker(0.1), short, how, new AbortController().signal)
  expect(tokens).toHaveLength(1)
})

test('rings that say nearly the same pass; those that differ, or say nothing, do not', async () => {
  const ask = (doubt: number) => probePrompt(speaker(doubt), request, how, new AbortController().signal)
  const exact = await ask(0.1)
  expect(judgeProbes(exact, await ask(0.11))).toMatchObject({ passes: true })
  expect(judgeProbes(exact, await ask(0.3))).toMatchObject({ passes: false })
  expect(judgeProbes(exact, { tokens: exact.tokens.slice(1) })).toMatchObject({ passes: false })
  expect(judgeProbes(exact, { tokens: [] })).toMatchObject({ passes: false })
})
