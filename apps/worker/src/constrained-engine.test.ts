import { defaultSampling } from '@deos/domain'
import { type EngineSession, type EngineStep, type EngineStepResult, plainNeeds } from '@deos/protocol'
import { beforeEach, expect, test } from 'vitest'
import { ConstrainedEngine, type GrammarService, type MaskedEngine } from './constrained-engine.ts'
import type { StepMasks } from './engine-client.ts'

const calls: string[] = []
beforeEach(() => {
  calls.length = 0
})

/** Samples the lowest token that the mask allows, or 99 without one. */
class ScriptedEngine implements MaskedEngine {
  readonly capacity = { kvPages: 8, pageTokens: 16, contextLength: 128, maxBatchTokens: 64 }
  readonly kv = { layers: { first: 0, end: 1 }, type: 'F16', layouts: [] }
  readKv = async () => new Uint8Array()
  writeKv = async () => undefined
  prepare = async (needs: unknown) => void calls.push(`engine prepares ${JSON.stringify(needs)}`)
  open = ({ key, needs }: EngineSession) => void calls.push(`engine opens ${key} ${needs.grammar}`)
  close = (key: number) => void calls.push(`engine closes ${key}`)
  reset = async () => void calls.push('engine resets')
  stop = async () => undefined
  freePages = async () => 8

  async step({ entries }: EngineStep, masks: StepMasks | null = null): Promise<EngineStepResult> {
    calls.push(`step masked at ${JSON.stringify(masks?.entries ?? [])}`)
    const words = await (masks?.words ?? [])
    calls.push('masks there')
    const sampled = entries.flatMap(({ sample }, index) => {
      if (!sample) return []
      const mask = words[masks?.entries.indexOf(index) ?? -1]
      return [{ token: mask ? Math.log2(mask[0]! & -mask[0]!) : 99, logprobs: null }]
    })
    return { hidden: new Uint8Array(), sampled, pooled: [], computeUs: 1 }
  }
}

/** Allows token n after n tokens. */
class CountingGrammars implements GrammarService {
  readonly counts = new Map<number, number>()
  problem: string | null = null
  prepare = async (spec: string, maxTokens: number) => {
    if (spec === 'wrong') throw new Error('The grammar is wrong.')
    calls.push(`grammar prepares ${spec} within ${maxTokens}`)
  }
  open = async (key: number, _: string, generated: Int32Array, maxTokens: number) => {
    if (maxTokens < 2) throw new Error('nothing fits')
    calls.push(`grammar opens ${key} with ${generated.length} of ${maxTokens}`)
    this.counts.set(key, generated.length)
  }
  mask = async (key: number) => {
    if (this.problem !== null) throw new Error(this.problem)
    return Uint32Array.of(1 << this.counts.get(key)!, 0)
  }
  accept = (key: number, token: number) => {
    calls.push(`grammar accepts ${token} for ${key}`)
    this.counts.set(key, this.counts.get(key)! + 1)
  }
  close = (key: number) => {
    calls.push(`grammar closes ${key}`)
    this.counts.delete(key)
  }
}

const problems: string[] = []
function create() {
  const grammars = new CountingGrammars()
  const options = { vocabSize: 40, stopTokens: [7], onProblem: (text: string) => void problems.push(text) }
  return { grammars, engine: new ConstrainedEngine(new ScriptedEngine(), grammars, options) }
}

const session = (key: number, grammar: string | null, resumed = 0): EngineSession => ({
  ...{ key, tokens: Int32Array.of(5, 6, 0, 1), resumed, maxTokens: 9, sampling: defaultSampling },
  ...{ needs: { ...plainNeeds, grammar }, pooling: null, trace: null, cachedTokens: 0, pages: [] },
})
const step = (...keys: readonly [key: number, sample: boolean][]): EngineStep => ({
  entries: keys.map(([key, sample]) => ({ key, position: 0, count: 1, sample, pages: [] })),
  tokens: new Int32Array(keys.length),
  hidden: null,
})
const tokensOf = ({ sampled }: EngineStepResult) => sampled.map(({ token }) => token)

test('constrained sessions sample what their grammars allow, others what they like', async () => {
  const { engine } = create()
  engine.open(session(1, null))
  engine.open(session(2, 'count'))
  engine.open(session(3, 'count', 2))
  const first = await engine.step(step([1, true], [2, false], [3, true]))
  expect(tokensOf(first)).toEqual([99, 2])
  expect(tokensOf(await engine.step(step([3, true], [2, true], [1, true])))).toEqual([3, 0, 99])
  expect(tokensOf(await engine.step(step([2, true])))).toEqual([1])
  expect(calls.filter((call) => call.startsWith('grammar accepts'))).toEqual([
    'grammar accepts 2 for 3',
    'grammar accepts 3 for 3',
    'grammar accepts 0 for 2',
    'grammar accepts 1 for 2',
  ])
  expect(calls).toContain('grammar opens 3 with 2 of 9')
  expect(calls).toContain('engine opens 3 null')
})

test('a step goes to the engine before its masks are known', async () => {
  const { engine, grammars } = create()
  let release = (_: Uint32Array<ArrayBuffer>): void => undefined
  grammars.mask = () => new Promise((resolve) => (release = resolve))
  engine.open(session(1, 'slow'))
  const done = engine.step(step([1, true]))
  await new Promise((resolve) => setImmediate(resolve))
  expect(calls).toContain('step masked at [0]')
  expect(calls).not.toContain('masks there')
  release(Uint32Array.of(1 << 4, 0))
  expect(tokensOf(await done)).toEqual([4])
})

test('steps asked for before the token of the one before is there get the masks of their turn', async () => {
  const { engine } = create()
  engine.open(session(1, 'count'))
  const steps = [engine.step(step([1, true])), engine.step(step([1, true])), engine.step(step([1, true]))]
  expect((await Promise.all(steps)).flatMap(tokensOf)).toEqual([0, 1, 2])
})

test('a step ahead of the last token still gets a mask, of anything', async () => {
  const { engine } = create()
  engine.open(session(1, 'count'))
  const last = engine.step(step([1, true]))
  const ahead = engine.step(step([1, true]))
  void last.then(() => engine.close(1))
  expect(tokensOf(await ahead)).toEqual([0])
})

test('without constraints nothing is asked of the grammars', async () => {
  const { engine } = create()
  await engine.prepare(plainNeeds, 9)
  engine.open(session(1, null))
  await engine.step(step([1, true]))
  engine.close(1)
  expect(calls.filter((call) => call.startsWith('grammar'))).toEqual([])
})

test('needs are prepared on both sides, and a wrong grammar is refused', async () => {
  const { engine } = create()
  await engine.prepare({ adapter: 'poet', grammar: 'good' }, 9)
  expect(calls).toEqual([
    'engine prepares {"adapter":"poet","grammar":null}',
    'grammar prepares good within 9',
  ])
  await expect(engine.prepare({ adapter: null, grammar: 'wrong' }, 9)).rejects.toThrow(/grammar is wrong/)
})

test('a grammar that fails ends its answer and is reported', async () => {
  const { engine, grammars } = create()
  grammars.problem = 'too ambiguous'
  engine.open(session(1, 'x'))
  engine.open(session(2, null))
  expect(tokensOf(await engine.step(step([1, true], [2, true])))).toEqual([7, 99])
  expect(problems[0]).toMatch(/session 1 failed: too ambiguous/)
})

test('an answer for which there is no room ends at once, and its grammar is asked no more', async () => {
  const { engine } = create()
  engine.open({ ...session(1, 'x'), maxTokens: 1 })
  expect(tokensOf(await engine.step(step([1, true])))).toEqual([7])
  expect(tokensOf(await engine.step(step([1, true])))).toEqual([7])
  expect(problems.at(-1)).toMatch(/nothing fits/)
  expect(calls.filter((call) => call.startsWith('grammar accepts'))).toEqual([])
})

test('answers are closed with their sessions, on reset, and when the engine is lost', async () => {
  const { engine, grammars } = create()
  for (const key of [1, 2, 3]) engine.open(session(key, 'x'))
  engine.close(1)
  expect([...grammars.counts.keys()]).toEqual([2, 3])
  await engine.reset()
  expect(grammars.counts.size).toBe(0)
  engine.open(session(4, 'x'))
  engine.forget()
  expect(grammars.counts.size).toBe(0)
})
