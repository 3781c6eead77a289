import { defaultSampling, type KvSlice, PagePool } from '@deos/domain'
import { afterEach, describe, expect, test } from 'vitest'
import { LAST_SAMPLED, plainNeeds, type RingCapacity, type SessionKey, type StepEntry } from '../messages.ts'
import type { EngineSession, EngineStepResult, StageEngine } from '../stage-engine.ts'

export interface StageEngineFixture {
  /**
   * Consecutive stages of one model, the first embedding and the last with the head. Keep the pool small (some
   * dozen pages) so that it can be exhausted, with a context of at least 24 positions and batches of at least 12.
   */
  create(stages: number): Promise<readonly StageEngine[]>
  readonly vocabSize: number
  /** Most stages the model can be cut into; at least 1. */
  readonly maxStages: number
}

interface Prefill {
  readonly key: SessionKey
  readonly tokens: readonly number[]
}

/**
 * What every {@link StageEngine} must do. Sampled tokens are compared, greedy ones: a float engine's hidden states
 * may differ in the last bits between batch shapes.
 */
export function describeStageEngine(name: string, fixture: StageEngineFixture): void {
  const prompt = (seed: number, length: number): readonly number[] =>
    Array.from({ length }, (_, index) => (seed * 31 + index * 17 + 5) % fixture.vocabSize)

  describe(`stage engine: ${name}`, () => {
    const running: StageEngine[] = []
    const create = async (stages = fixture.maxStages): Promise<readonly StageEngine[]> => {
      const engines = await fixture.create(stages)
      running.push(...engines)
      return engines
    }
    afterEach(async () => {
      for (const engine of running.splice(0)) await engine.stop()
    })

    test('a session generates the same tokens however the model is cut', async () => {
      const whole = await generate(await create(1), { key: 1, tokens: prompt(1, 9) }, 6)
      expect(whole).toHaveLength(6)
      for (let stages = 2; stages <= fixture.maxStages; stages++) {
        expect(await generate(await create(stages), { key: 1, tokens: prompt(1, 9) }, 6)).toEqual(whole)
      }
    })

    test('a prompt in chunks samples what it samples at once', async () => {
      const engines = await create()
      const tokens = prompt(2, 10)
      const [atOnce] = await prefill(engines, [{ key: 1, tokens }])
      open(engines, 2, tokens)
      await feed(engines, [entry(2, 0, 3, false)], tokens.slice(0, 3))
      await feed(engines, [entry(2, 3, 4, false)], tokens.slice(3, 7))
      const last = await feed(engines, [entry(2, 7, 3, true)], tokens.slice(7))
      expect(last).toEqual([atOnce])
    })

    test('chunks may be handed over without waiting for each other', async () => {
      const [engine] = await create(1)
      const tokens = prompt(3, 10)
      const [atOnce] = await prefill([engine!], [{ key: 1, tokens }])
      open([engine!], 2, tokens)
      const first = engine!.step({
        entries: withPages([engine!], [entry(2, 0, 6, false)]),
        tokens: Int32Array.from(tokens.slice(0, 6)),
        hidden: null,
      })
      const second = engine!.step({
        entries: withPages([engine!], [entry(2, 6, 4, true)]),
        tokens: Int32Array.from(tokens.slice(6)),
        hidden: null,
      })
      engine!.close(2)
      const results = await Promise.all([first, second])
      expect(results.flatMap((result) => result.sampled.map((sampled) => sampled.token))).toEqual([atOnce])
    })

    test('sessions in one batch sample what each samples alone', async () => {
      const sessions = [3, 5, 1].map((length, index) => ({
        key: index + 1,
        tokens: prompt(index + 7, length),
      }))
      const alone: (readonly number[])[] = []
      for (const session of sessions) alone.push(await generate(await create(), session, 4))
      const together = await generateTogether(await create(), sessions, 4)
      expect(together).toEqual(alone)
    })

    test('prompt chunks and decoding share a step', async () => {
      const engines = await create()
      const [a, b] = [prompt(11, 4), prompt(12, 6)]
      const aloneA = await generate(await create(), { key: 1, tokens: a }, 2)
      const aloneB = await generate(await create(), { key: 1, tokens: b }, 1)
      const [first] = await prefill(engines, [{ key: 1, tokens: a }])
      open(engines, 2, b)
      const mixed = await feed(engines, [entry(1, 4, 1, true), entry(2, 0, 6, true)], [first!, ...b])
      expect(mixed).toEqual([aloneA[1], aloneB[0]])
    })

    test('pages are conserved: taken by steps, returned by close and by reset', async () => {
      const engines = await create()
      const pagesFree = () => Promise.all(engines.map((engine) => engine.freePages()))
      const full = engines.map((engine) => engine.capacity.kvPages)
      expect(await pagesFree()).toEqual(full)
      const { pageTokens } = engines[0]!.capacity
      await prefill(engines, [
        { key: 1, tokens: prompt(1, 7) },
        { key: 2, tokens: prompt(2, 5) },
      ])
      const used = Math.ceil(7 / pageTokens) + Math.ceil(5 / pageTokens)
      expect(await pagesFree()).toEqual(full.map((pages) => pages - used))
      close(engines, 1)
      expect(await pagesFree()).toEqual(full.map((pages) => pages - Math.ceil(5 / pageTokens)))
      await resetAll(engines)
      expect(await pagesFree()).toEqual(full)
      expect(await generate(engines, { key: 2, tokens: prompt(2, 5) }, 2)).toHaveLength(2)
    })

    test('freed pages carry nothing over to their next session', async () => {
      const engines = await create()
      const fresh = await generate(engines, { key: 1, tokens: prompt(4, 8) }, 3)
      for (let round = 2; round < 6; round++) {
        await generate(engines, { key: round, tokens: prompt(round + 20, 9) }, 2)
        close(engines, round)
      }
      close(engines, 1)
      expect(await generate(engines, { key: 9, tokens: prompt(4, 8) }, 3)).toEqual(fresh)
    })

    test.each<[string, StepEntry, number]>([
      ['an unknown session', entry(99, 0, 1, true), 1],
      ['a gap in positions', entry(1, 5, 1, true), 1],
      ['a position already filled', entry(1, 2, 1, true), 1],
      ['fewer tokens than positions', entry(1, 4, 2, true), 1],
    ])('%s fails the step, and a reset mends the engine', async (_, wrong, count) => {
      const [engine] = await create(1)
      await prefill([engine!], [{ key: 1, tokens: prompt(1, 4) }])
      const tokens = Int32Array.from(prompt(5, count))
      await expect(engine!.step({ entries: [wrong], tokens, hidden: null })).rejects.toThrow()
      const entries = withPages([engine!], [entry(1, 4, 1, true)])
      const right = { entries, tokens: Int32Array.from(prompt(5, 1)), hidden: null }
      await expect(engine!.step(right), 'unusable until reset').rejects.toThrow()
      await resetAll([engine!])
      expect(await engine!.freePages()).toBe(engine!.capacity.kvPages)
      expect(await generate([engine!], { key: 1, tokens: prompt(1, 4) }, 2)).toHaveLength(2)
    })

    test('a session longer than the context fails', async () => {
      const [engine] = await create(1)
      await expect(fill(engine!, 1, engine!.capacity.contextLength + 1)).rejects.toThrow()
    })

    test('more pages than there are fail, and exactly all of them do not', async () => {
      const [engine] = await create(1)
      const { kvPages, pageTokens, contextLength } = engine!.capacity
      const perSession = Math.floor(contextLength / pageTokens)
      let left = kvPages
      let key = 0
      while (left > 0) {
        const pages = Math.min(left, perSession)
        await fill(engine!, ++key, pages * pageTokens)
        left -= pages
      }
      expect(await engine!.freePages()).toBe(0)
      await expect(fill(engine!, ++key, 1), 'a position without a page').rejects.toThrow()
    })

    test('a page that is not in the pool fails', async () => {
      const [engine] = await create(1)
      open([engine!], 1, prompt(1, 1))
      const entries = [{ ...entry(1, 0, 1, false), pages: [engine!.capacity.kvPages] }]
      await expect(engine!.step({ entries, tokens: Int32Array.of(1), hidden: null })).rejects.toThrow()
    })

    test('sessions that share the pages of a prefix sample what they sample alone', async () => {
      const { pageTokens } = (await create(1))[0]!.capacity
      const prefix = prompt(21, pageTokens)
      const tails = [prompt(22, 3), prompt(23, 5)]
      const alone: (readonly number[])[] = []
      for (const tail of tails) {
        alone.push(await generate(await create(), { key: 1, tokens: [...prefix, ...tail] }, 3))
      }
      const engines = await create()
      const together = [[...(await generate(engines, { key: 1, tokens: [...prefix, ...tails[0]!] }, 3))]]
      const pages = memoryOf(engines).share(2, 1, pageTokens)
      const tokens = [...prefix, ...tails[1]!]
      open(engines, 2, tokens, { cachedTokens: pageTokens, pages })
      const free = await engines[0]!.freePages()
      let latest = await feed(engines, [entry(2, pageTokens, tails[1]!.length, true)], tails[1]!)
      close(engines, 1)
      const second = [...latest]
      for (let round = 1; round < 3; round++) {
        latest = await feed(engines, [entry(2, tokens.length + round - 1, 1, true)], latest)
        second.push(...latest)
      }
      together.push(second)
      expect(together).toEqual(alone)
      expect(free, 'a shared page counts once').toBeGreaterThan(0)
      close(engines, 2)
      expect(await engines[0]!.freePages()).toBe(engines[0]!.capacity.kvPages)
    })

    test('a step may go on from tokens that are not back yet', async () => {
      const [engine] = await create(1)
      const lengths = [5, 3]
      const alone: (readonly number[])[] = []
      for (const [index, length] of lengths.entries()) {
        alone.push(await generate(await create(1), { key: 1, tokens: prompt(index + 41, length) }, 3))
      }
      const tokens = lengths.map((length, index) => prompt(index + 41, length))
      tokens.forEach((each, index) => {
        open([engine!], index, each)
      })
      const step = (round: number): Promise<EngineStepResult> => {
        const entries = lengths.map((length, key) =>
          round === 0 ? entry(key, 0, length, true) : entry(key, length + round - 1, 1, true),
        )
        const ids = round === 0 ? tokens.flat() : lengths.map(() => LAST_SAMPLED)
        return engine!.step({
          entries: withPages([engine!], entries),
          tokens: Int32Array.from(ids),
          hidden: null,
        })
      }
      const results = await Promise.all([step(0), step(1), step(2)])
      const generated = lengths.map((_, key) => results.map(({ sampled }) => sampled[key]!.token))
      expect(generated).toEqual(alone)
    })

    test('K and V go on in engines that are cut otherwise, in other pages', async () => {
      const tokens = prompt(51, 11)
      const alone = await generate(await create(), { key: 1, tokens }, 4)
      const from = await create(1)
      const { pageTokens } = from[0]!.capacity
      const [first] = await prefill(from, [{ key: 1, tokens }])
      const to = await create()
      const held = memoryOf(to)
      open(to, 7, tokens)
      await feed(to, [entry(7, 0, 1, false)], tokens.slice(0, 1)) // so that the pages are others
      const pages = held.take(2, Math.ceil((tokens.length + 1) / pageTokens))
      await Promise.all(
        slicesOf(from, memoryOf(from).pagesOf(1), tokens.length).map(async (slice) => {
          const data = await from[0]!.readKv(slice)
          const holder = to.find(({ kv }) => slice.layer >= kv.layers.first && slice.layer < kv.layers.end)
          await holder!.writeKv({ ...slice, pages, data })
          expect(await holder!.readKv({ ...slice, pages })).toEqual(data)
        }),
      )
      open(to, 2, [...tokens, first!], { resumed: 1, cachedTokens: tokens.length, pages })
      const generated = [first!]
      for (let position = tokens.length; generated.length < 4; position += 1) {
        generated.push(...(await feed(to, [entry(2, position, 1, true)], [generated.at(-1)!])))
      }
      expect(generated).toEqual(alone)
    })

    test('K and V are read as the steps before left them, whatever comes after', async () => {
      const [engine] = await create(1)
      const tokens = prompt(52, 8)
      open([engine!], 1, tokens)
      const step = (from: number, to: number) =>
        engine!.step({
          entries: withPages([engine!], [entry(1, from, to - from, false)]),
          tokens: Int32Array.from(tokens.slice(from, to)),
          hidden: null,
        })
      const steps = [step(0, 5)]
      const [slice] = slicesOf([engine!], memoryOf([engine!]).pagesOf(1), 5)
      const early = engine!.readKv(slice!)
      steps.push(step(5, 8))
      await Promise.all(steps)
      expect(await early).toEqual(await engine!.readKv(slice!))
    })

    test('slices that do not fit are refused, and the engine goes on', async () => {
      const [engine] = await create(1)
      await prefill([engine!], [{ key: 1, tokens: prompt(53, 4) }])
      const [slice] = slicesOf([engine!], memoryOf([engine!]).pagesOf(1), 4)
      const { layers } = engine!.kv
      const data = await engine!.readKv(slice!)
      await expect(engine!.readKv({ ...slice!, layer: layers.end })).rejects.toThrow()
      await expect(engine!.readKv({ ...slice!, pages: [engine!.capacity.kvPages] })).rejects.toThrow()
      await expect(engine!.readKv({ ...slice!, positions: { first: 0, end: 1_000 } })).rejects.toThrow()
      await expect(engine!.writeKv({ ...slice!, data }), 'pages of a session').rejects.toThrow()
      await engine!.writeKv({ ...slice!, data, refines: true })
      close([engine!], 1)
      await expect(engine!.writeKv({ ...slice!, data: data.subarray(1) })).rejects.toThrow()
      await expect(
        engine!.writeKv({ ...slice!, data }, () => false),
        'not wanted',
      ).rejects.toThrow()
      expect(await generate([engine!], { key: 2, tokens: prompt(53, 4) }, 2)).toHaveLength(2)
    })

    test('needs that no stage can meet are refused, and the engine goes on', async () => {
      const [engine] = await create(1)
      await expect(engine!.prepare({ adapter: 'no such adapter', grammar: null }, 8)).rejects.toThrow()
      expect(await generate([engine!], { key: 1, tokens: prompt(1, 4) }, 2)).toHaveLength(2)
    })

    test.each(['mean', 'last'] as const)(
      'pooling (%s) gives one vector, the same from chunks',
      async (pooling) => {
        const tokens = prompt(31, 9)
        const whole = await create()
        open(whole, 1, tokens, { pooling })
        const atOnce = await run(whole, [entry(1, 0, 9, true)], tokens)
        const chunked = await create()
        open(chunked, 1, tokens, { pooling })
        await run(chunked, [entry(1, 0, 4, false)], tokens.slice(0, 4))
        const inChunks = await run(chunked, [entry(1, 4, 5, true)], tokens.slice(4))
        expect([atOnce.sampled, inChunks.sampled]).toEqual([[], []])
        const [a, b] = [vectorOf(atOnce), vectorOf(inChunks)]
        const largest = Math.max(...a.map(Math.abs))
        expect(largest).toBeGreaterThan(0)
        for (const [index, value] of a.entries()) {
          expect(Math.abs(value - b[index]!)).toBeLessThanOrEqual(1e-2 * largest)
        }
      },
    )

    test('a batch beyond the limit fails', async () => {
      const [engine] = await create(1)
      const { maxBatchTokens } = engine!.capacity
      const half = Math.floor(maxBatchTokens / 2) + 1
      const lengths = [half, half]
      const entries = lengths.map((length, index) => entry(index + 1, 0, length, false))
      for (const { key, count } of entries) open([engine!], key, prompt(key, count))
      const tokens = Int32Array.from(lengths.flatMap((length) => prompt(3, length)))
      await expect(engine!.step({ entries, tokens, hidden: null })).rejects.toThrow()
    })

    test('hidden states of the wrong size fail', async (context) => {
      if (fixture.maxStages < 2) return context.skip('the model has a single stage')
      const engines = await create(2)
      open(engines, 1, prompt(1, 2))
      const step = { entries: [entry(1, 0, 2, true)], tokens: null, hidden: new Uint8Array(4) }
      await expect(engines[1]!.step(step)).rejects.toThrow()
    })

    /** Fills a session with `length` positions in the largest chunks allowed. */
    async function fill(engine: StageEngine, key: SessionKey, length: number): Promise<void> {
      const tokens = prompt(key, length)
      open([engine], key, tokens.slice(0, 1))
      const { maxBatchTokens } = engine.capacity
      for (let at = 0; at < length; at += maxBatchTokens) {
        const chunk = tokens.slice(at, at + maxBatchTokens)
        await feed([engine], [entry(key, at, chunk.length, false)], chunk)
      }
    }
  })
}

/** An entry without pages: {@link feed} and {@link withPages} add what it needs. */
const entry = (key: SessionKey, position: number, count: number, sample: boolean): StepEntry => ({
  key,
  position,
  count,
  sample,
  pages: [],
})

/** Pages as a leader would hand them out, for all stages of one ring. */
class SuiteMemory {
  readonly #pool: PagePool
  readonly #pages = new Map<SessionKey, number[]>()

  constructor(private readonly capacity: RingCapacity) {
    this.#pool = new PagePool(capacity.kvPages)
  }

  /** @returns the pages of the first `positions` positions of session `from`, held by `key` too from now on */
  share(key: SessionKey, from: SessionKey, positions: number): readonly number[] {
    const pages = (this.#pages.get(from) ?? []).slice(0, positions / this.capacity.pageTokens)
    this.#pool.retain(pages)
    this.#pages.set(key, [...pages])
    return pages
  }

  paged(entry: StepEntry): StepEntry {
    const held = this.#pages.get(entry.key) ?? []
    const wanted = Math.ceil((entry.position + entry.count) / this.capacity.pageTokens)
    const pages = this.#pool.take(Math.max(0, wanted - held.length), held.at(-1)) ?? []
    this.#pages.set(entry.key, [...held, ...pages])
    return { ...entry, pages }
  }

  pagesOf(key: SessionKey): readonly number[] {
    return this.#pages.get(key) ?? []
  }

  /** @returns pages that `key` holds before it has a position */
  take(key: SessionKey, count: number): readonly number[] {
    const pages = this.#pool.take(count) ?? []
    this.#pages.set(key, [...pages])
    return pages
  }

  release(key: SessionKey): void {
    this.#pool.release(this.#pages.get(key) ?? [])
    this.#pages.delete(key)
  }

  clear(): void {
    for (const key of [...this.#pages.keys()]) this.release(key)
  }
}

const memories = new WeakMap<StageEngine, SuiteMemory>()

/** All stages of a ring share what their first one has. */
function memoryOf(engines: readonly StageEngine[]): SuiteMemory {
  const first = engines[0]!
  const known = memories.get(first) ?? new SuiteMemory(first.capacity)
  memories.set(first, known)
  return known
}

const withPages = (engines: readonly StageEngine[], entries: readonly StepEntry[]): readonly StepEntry[] =>
  entries.map((each) => memoryOf(engines).paged(each))

/** All that engines store of the first `end` positions. */
const slicesOf = (
  engines: readonly StageEngine[],
  pages: readonly number[],
  end: number,
): readonly KvSlice[] =>
  engines.flatMap(({ kv }) =>
    kv.layouts.flatMap(({ value }, index) =>
      (value === null ? (['key'] as const) : (['key', 'value'] as const)).map((part) => ({
        ...{ layer: kv.layers.first + index, part, pages },
        ...{ positions: { first: 0, end }, encoding: 'stored' as const },
      })),
    ),
  )

function open(
  engines: readonly StageEngine[],
  key: SessionKey,
  tokens: readonly number[],
  overrides: Partial<EngineSession> = {},
): void {
  for (const engine of engines) engine.open({ ...sessionOf(key, tokens), ...overrides })
}

const sessionOf = (key: SessionKey, tokens: readonly number[]): EngineSession => ({
  key,
  tokens: Int32Array.from(tokens),
  resumed: 0,
  maxTokens: 64,
  sampling: { ...defaultSampling, temperature: 0 },
  needs: plainNeeds,
  pooling: null,
  trace: null,
  cachedTokens: 0,
  pages: [],
})

function close(engines: readonly StageEngine[], key: SessionKey): void {
  for (const engine of engines) engine.close(key)
  memoryOf(engines).release(key)
}

async function resetAll(engines: readonly StageEngine[]): Promise<void> {
  await Promise.all(engines.map((engine) => engine.reset()))
  memoryOf(engines).clear()
}

/** Runs one step through all stages. */
async function run(
  engines: readonly StageEngine[],
  plain: readonly StepEntry[],
  tokens: readonly number[],
): Promise<EngineStepResult> {
  const entries = withPages(engines, plain)
  let result: EngineStepResult | null = null
  for (const engine of engines) {
    result = await engine.step(
      result === null
        ? { entries, tokens: Int32Array.from(tokens), hidden: null }
        : { entries, tokens: null, hidden: result.hidden, ...(result.coded && { coded: true }) },
    )
  }
  return result!
}

/** Runs one step through all stages and returns the sampled tokens. */
async function feed(
  engines: readonly StageEngine[],
  entries: readonly StepEntry[],
  tokens: readonly number[],
): Promise<readonly number[]> {
  return (await run(engines, entries, tokens)).sampled.map(({ token }) => token)
}

function vectorOf({ pooled }: EngineStepResult): readonly number[] {
  expect(pooled).toHaveLength(1)
  const bytes = pooled[0]!.slice()
  return Array.from(new Float32Array(bytes.buffer))
}

async function prefill(
  engines: readonly StageEngine[],
  sessions: readonly Prefill[],
): Promise<readonly number[]> {
  for (const { key, tokens } of sessions) open(engines, key, tokens)
  const entries = sessions.map(({ key, tokens }) => entry(key, 0, tokens.length, true))
  return await feed(
    engines,
    entries,
    sessions.flatMap(({ tokens }) => tokens),
  )
}

async function generateTogether(
  engines: readonly StageEngine[],
  sessions: readonly Prefill[],
  count: number,
): Promise<readonly (readonly number[])[]> {
  let latest = await prefill(engines, sessions)
  const generated = latest.map((token) => [token])
  for (let round = 1; round < count; round++) {
    const entries = sessions.map(({ key, tokens }) => entry(key, tokens.length + round - 1, 1, true))
    latest = await feed(engines, entries, latest)
    latest.forEach((token, index) => {
      generated[index]!.push(token)
    })
  }
  return generated
}

async function generate(
  engines: readonly StageEngine[],
  session: Prefill,
  count: number,
): Promise<readonly number[]> {
  return (await generateTogether(engines, [session], count))[0]!
}
