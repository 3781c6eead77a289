import { seededRandom } from '@deos/domain'
import { describe, expect, test } from 'vitest'
import { PrefillBudget, type PromptAhead, roundBudget } from './prefill-budget.ts'

/** Microseconds of a step; prompt tokens cost more the later they are. */
interface Engine {
  readonly baseUs: (decodes: number) => number
  readonly tokenUs: number
  /** Position at which a prompt token costs twice as much. */
  readonly spanTokens: number
}

const engine: Engine = { baseUs: (decodes) => 10_000 + 500 * decodes, tokenUs: 150, spanTokens: 8_000 }

interface Ran {
  readonly promptTokens: number
  readonly engineUs: number
  /** Against a step without prompt tokens. */
  readonly ratio: number
}

const long = (asked: Pick<PromptAhead, 'decodes'> & Partial<PromptAhead>): PromptAhead => ({
  ...{ position: 0, promptTokens: 1_000_000, behind: 0 },
  ...asked,
})

/** Steps of sessions that decode beside an endless prompt. */
class BudgetBench {
  readonly budget = new PrefillBudget()
  readonly ran: Ran[] = []
  engine = engine
  #position = 0

  constructor(private readonly noise: () => number = () => 1) {}

  decode(decodes: number, steps: number): void {
    for (let count = 0; count < steps; count++) this.#run(decodes, 0)
  }

  prefill(decodes: number, steps: number, length = 4_000): readonly Ran[] {
    const first = this.ran.length
    for (let count = 0; count < steps; count++) {
      const measures = this.budget.measures(decodes)
      this.#run(decodes, measures ? 0 : this.budget.tokens(long({ decodes, position: this.#position })))
      if (this.#position >= length) this.#position = 0
    }
    return this.ran.slice(first)
  }

  #run(decodes: number, promptTokens: number): void {
    const position = this.#position + promptTokens / 2
    const { baseUs, tokenUs, spanTokens } = this.engine
    const exact = baseUs(decodes) + promptTokens * tokenUs * (1 + position / spanTokens)
    const engineUs = Math.round(exact * this.noise())
    this.#position += promptTokens
    this.budget.observe({ decodes, promptTokens, position, engineUs })
    this.ran.push({ promptTokens, engineUs, ratio: exact / baseUs(decodes) })
  }
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length
const mixed = (ran: readonly Ran[]): readonly Ran[] => ran.filter(({ promptTokens }) => promptTokens > 0)
const worst = (ran: readonly Ran[]): number => Math.max(...ran.map(({ ratio }) => ratio))

describe('PrefillBudget', () => {
  test('begins carefully and then uses what decoding leaves', () => {
    const bench = new BudgetBench()
    bench.decode(4, 20)
    const ran = mixed(bench.prefill(4, 200))
    expect(ran.slice(0, 3).map(({ promptTokens }) => promptTokens)).toEqual([32, 32, 32])
    expect(worst(ran)).toBeLessThanOrEqual(1.75)
    // 0.7 × 12 ms / 150 µs is 56 tokens at the beginning of the prompt; rounding down to the set costs up to a third.
    expect(mean(ran.slice(20).map(({ ratio }) => ratio))).toBeGreaterThan(1.4)
  })

  test('late positions get fewer tokens', () => {
    const bench = new BudgetBench()
    bench.engine = { ...engine, spanTokens: 1_000 }
    bench.decode(8, 20)
    bench.prefill(8, 400)
    const ran = mixed(bench.prefill(8, 400))
    expect(worst(ran)).toBeLessThanOrEqual(1.95)
    const sizes = ran.map(({ promptTokens }) => promptTokens)
    expect(Math.max(...sizes)).toBeGreaterThanOrEqual(2 * Math.min(...sizes))
  })

  test('an engine to which prompt tokens cost nothing gets as many as it takes', () => {
    const bench = new BudgetBench()
    bench.engine = { ...engine, tokenUs: 0 }
    bench.decode(1, 10)
    expect(Math.max(...bench.prefill(1, 60).map(({ promptTokens }) => promptTokens))).toBeGreaterThan(1_000)
  })

  test('one so slow that no token fits still progresses', () => {
    const bench = new BudgetBench()
    bench.engine = { ...engine, tokenUs: 50_000 }
    bench.decode(1, 10)
    const ran = bench.prefill(1, 100)
    expect(mixed(ran.slice(20)).every(({ promptTokens }) => promptTokens === 1)).toBe(true)
    expect(mixed(ran).length).toBeGreaterThan(80)
  })

  test('noise does not push steps to twice the time', () => {
    const random = seededRandom(7)
    const bench = new BudgetBench(() => 0.9 + 0.2 * random.next())
    bench.decode(4, 20)
    const ran = bench.prefill(4, 1_000)
    const times = mixed(ran)
      .map(({ ratio }) => ratio)
      .sort((a, b) => a - b)
    expect(times[Math.floor(times.length * 0.99)]).toBeLessThan(2)
    expect(mean(times)).toBeGreaterThan(1.35)
  })

  test('one outlier changes nothing, however long it took', () => {
    const bench = new BudgetBench()
    bench.decode(4, 20)
    bench.prefill(4, 100)
    const before = bench.budget.tokens(long({ decodes: 4, position: 1_000 }))
    bench.budget.observe({ decodes: 4, promptTokens: 48, position: 1_000, engineUs: 5_000_000 })
    bench.budget.observe({ decodes: 4, promptTokens: 0, position: 0, engineUs: 5_000_000 })
    expect(bench.budget.tokens(long({ decodes: 4, position: 1_000 }))).toBe(before)
  })

  test.each([
    ['slower', 4],
    ['faster', 0.25],
  ])('an engine that suddenly is %s is measured anew, while prompts go on', (_, factor) => {
    const bench = new BudgetBench()
    bench.decode(4, 20)
    bench.prefill(4, 100)
    const { baseUs, tokenUs } = engine
    bench.engine = { ...engine, baseUs: (decodes) => factor * baseUs(decodes), tokenUs: factor * tokenUs }
    const adapting = bench.prefill(4, 60)
    // Never longer than a step was or is allowed to be.
    const limitUs = 1.8 * Math.max(1, factor) * baseUs(4)
    expect(Math.max(...mixed(adapting).map(({ engineUs }) => engineUs))).toBeLessThan(limitUs)
    const ran = mixed(bench.prefill(4, 200))
    expect(worst(ran)).toBeLessThanOrEqual(1.8)
    expect(mean(ran.map(({ ratio }) => ratio))).toBeGreaterThan(1.4)
  })

  test('another number of sessions is estimated from the nearest, carefully', () => {
    const bench = new BudgetBench()
    bench.engine = { ...engine, baseUs: (decodes) => 1_000 * decodes, tokenUs: 100 }
    bench.decode(16, 20)
    bench.prefill(16, 100)
    // Measured 16 ms with 16; 4 take 4 ms, and are guessed to take 10: no more than one step may tell otherwise.
    const ran = bench.prefill(4, 40)
    expect(worst(mixed(ran).slice(8))).toBeLessThanOrEqual(1.8)
    bench.decode(2, 3)
    expect(bench.budget.tokens(long({ decodes: 2 }))).toBeLessThanOrEqual(16)
  })

  test('an engine that bears few tokens gets just those', () => {
    const bench = new BudgetBench()
    bench.engine = { ...engine, tokenUs: 2_000 }
    bench.decode(4, 20)
    bench.prefill(4, 100)
    // 0.7 × 12 ms / 2 ms
    const ran = mixed(bench.prefill(4, 100))
    expect(worst(ran)).toBeLessThanOrEqual(1.75)
    expect(mean(ran.map(({ promptTokens }) => promptTokens))).toBeGreaterThan(2)
  })

  test('steps may take as long as if the prompts behind the first decoded already', () => {
    const bench = new BudgetBench()
    bench.engine = { ...engine, baseUs: (decodes) => 1_000 * decodes, tokenUs: 100 }
    bench.decode(16, 20)
    bench.decode(2, 20)
    bench.prefill(2, 100)
    // 0.7 × 2 ms / 0.1 ms, rounded down to 12 and, with those that decode, to whole groups of four.
    expect(bench.budget.tokens(long({ decodes: 2 }))).toBe(10)
    // 1.7 × 16 ms - 2 ms, of which at most twice as much as before is tried.
    expect(bench.budget.tokens(long({ decodes: 2, behind: 14 }))).toBe(30)
    bench.budget.observe({ decodes: 2, promptTokens: 128, position: 0, engineUs: 15_000 })
    expect(bench.budget.tokens(long({ decodes: 2, behind: 14 }))).toBe(190)
  })

  test('short prompts may take more of a step', () => {
    const bench = new BudgetBench()
    bench.decode(4, 20)
    bench.prefill(4, 100, 200)
    // 500 ms are worth 3,333 tokens of 150 µs.
    expect(bench.budget.tokens(long({ decodes: 4, promptTokens: 3_400 }))).toBe(48)
    // 50 ms - 12 ms, as far as was tried.
    expect(bench.budget.tokens(long({ decodes: 4, promptTokens: 3_200 }))).toBe(96)
  })

  test('beside short prompts, twenty tokens a second are enough', () => {
    const bench = new BudgetBench()
    bench.engine = { ...engine, baseUs: () => 5_000, tokenUs: 1_000 }
    bench.decode(1, 20)
    bench.prefill(1, 100, 70)
    expect(bench.budget.tokens(long({ decodes: 1 }))).toBe(3)
    // 50 ms - 5 ms, rounded down to 32, one less for the session that decodes.
    expect(bench.budget.tokens(long({ decodes: 1, promptTokens: 70 }))).toBe(31)
  })

  test('what was not measured lies on the line through the nearest that were', () => {
    const bench = new BudgetBench()
    bench.engine = { ...engine, baseUs: (decodes) => 10_000 + 1_000 * decodes, tokenUs: 100 }
    bench.decode(2, 20)
    bench.decode(6, 20)
    bench.prefill(2, 100)
    const asked = (behind: number) => bench.budget.tokens(long({ decodes: 2, behind }))
    // 1.7 × 14 ms - 12 ms, and 1.7 × 26 ms - 12 ms of which as much is tried as twice the most so far.
    expect(asked(2)).toBe(94)
    bench.budget.observe({ decodes: 2, promptTokens: 512, position: 0, engineUs: 63_200 })
    expect(asked(14)).toBe(254)
  })

  test('steps without prompt tokens are rare once all is known', () => {
    const bench = new BudgetBench()
    bench.decode(4, 20)
    bench.prefill(4, 50)
    const ran = bench.prefill(4, 340)
    expect(ran.length - mixed(ran).length).toBe(20)
    expect(bench.budget.measures(0)).toBe(false)
  })
})

test.each([
  [0.2, 1],
  [1.9, 1],
  [2.9, 2],
  [3, 3],
  [11.9, 8],
  [12, 12],
  [15, 12],
  [16, 16],
  [24, 24],
  [47, 32],
  [48, 48],
  [100, 96],
  [1_000, 768],
])('roundBudget(%d) is %d', (tokens, expected) => {
  expect(roundBudget(tokens)).toBe(expected)
})
