import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Expression } from './expression.ts'
import { type Bound, integersBetween, numbersBetween } from './number-range.ts'
import { acceptsText } from './schema-strings.ts'
import { type TextAutomaton, textsOf } from './text-automaton.ts'

const accepts = (expression: Expression, text: string) => acceptsText([textsOf(expression, null)], text)

/** A text of the automaton, its turns taken from `random`; `null` when it ran into a dead end. */
function write(automaton: TextAutomaton, random: () => number): string | null {
  let state = automaton.start
  let text = ''
  for (let i = 0; i < 60; i += 1) {
    const moves = automaton.moves(state)
    if (automaton.accepts(state) && (moves.length === 0 || random() < 0.2)) return text
    if (moves.length === 0) return null
    const { ranges, to } = moves[Math.floor(random() * moves.length)]!
    const [first, end] = ranges[Math.floor(random() * ranges.length)]!
    text += String.fromCodePoint(first + Math.floor(random() * (end - first)))
    state = to
  }
  return null
}

const randomOf = (values: readonly number[]) => {
  let at = 0
  return () => values[at++ % values.length]!
}
const turns = fc.array(fc.double({ min: 0, max: 0.999999, noNaN: true }), { minLength: 40, maxLength: 40 })

describe('integersBetween()', () => {
  const whole = fc.bigInt({ min: -(10n ** 7n), max: 10n ** 7n })

  test('allows exactly the numbers between its bounds', () => {
    fc.assert(
      fc.property(whole, whole, whole, (a, b, value) => {
        const [low, high] = a < b ? [a, b] : [b, a]
        const expression = integersBetween(low, high)
        expect(accepts(expression, String(value))).toBe(value >= low && value <= high)
        for (const edge of [low, high]) expect(accepts(expression, String(edge))).toBe(true)
        for (const edge of [low - 1n, high + 1n]) expect(accepts(expression, String(edge))).toBe(false)
      }),
      { numRuns: 300, seed: 1 },
    )
  })

  test.each(['-0', '00', '01', '+1', '1.0', '1e2', '', '-'])('never writes %j', (text) => {
    expect(accepts(integersBetween(-5000n, 5000n), text)).toBe(false)
  })

  test('an open side goes on far enough to have values', () => {
    expect(accepts(integersBetween(5n, null), '123456789012345678')).toBe(true)
    expect(accepts(integersBetween(5n, null), '4')).toBe(false)
    expect(accepts(integersBetween(null, -(10n ** 20n)), `-${10n ** 20n}`)).toBe(true)
    expect(accepts(integersBetween(null, -5n), '5')).toBe(false)
  })
})

describe('numbersBetween()', () => {
  const bound = fc.record({
    value: fc.oneof(
      fc.double({ min: -1e4, max: 1e4, noNaN: true }),
      fc.integer({ min: -300, max: 300 }).map((n) => n / 100),
      fc.constantFrom(0, -0, 1e-9, -1e-9, 0.1, 1e15, 123456.75),
    ),
    exclusive: fc.boolean(),
  })
  const satisfies = (value: number, low: Bound | null, high: Bound | null) =>
    (low === null || (low.exclusive ? value > low.value : value >= low.value)) &&
    (high === null || (high.exclusive ? value < high.value : value <= high.value))

  test('whatever is written satisfies the bounds as a double', () => {
    fc.assert(
      fc.property(fc.option(bound), fc.option(bound), turns, (a, b, values) => {
        const [low, high] = a && b && a.value > b.value ? [b, a] : [a, b]
        const text = write(textsOf(numbersBetween(low, high, null), null), randomOf(values))
        if (text !== null) expect(satisfies(JSON.parse(text) as number, low, high), text).toBe(true)
      }),
      { numRuns: 1000, seed: 2 },
    )
  })

  test('what satisfies the bounds with few digits can be written', () => {
    const short = fc.integer({ min: -400_000, max: 400_000 }).map((n) => n / 1000)
    fc.assert(
      fc.property(short, short, fc.boolean(), short, (a, b, exclusive, value) => {
        const low = { value: Math.min(a, b), exclusive }
        const high = { value: Math.max(a, b), exclusive }
        expect(accepts(numbersBetween(low, high, null), String(value))).toBe(satisfies(value, low, high))
      }),
      { numRuns: 500, seed: 3 },
    )
  })

  test('zero is written only where it is allowed, whatever its sign', () => {
    const positive = numbersBetween({ value: 0, exclusive: true }, null, null)
    expect(['0', '0.0', '-0', '-0.0'].map((text) => accepts(positive, text))).not.toContain(true)
    expect(accepts(positive, '0.00000001')).toBe(true)
    const negative = numbersBetween(null, { value: 0, exclusive: true }, null)
    expect(['0', '0.0', '-0', '-0.0'].map((text) => accepts(negative, text))).not.toContain(true)
    expect(accepts(negative, '-0.5')).toBe(true)
  })

  test('a bound with more digits than are worth writing is kept on its inner side', () => {
    const tiny = numbersBetween({ value: 1e-300, exclusive: true }, { value: 1, exclusive: true }, null)
    expect(accepts(tiny, '0.5')).toBe(true)
    expect(accepts(tiny, '0.0')).toBe(false)
    const third = numbersBetween(
      { value: 1 / 3, exclusive: true },
      { value: 1 / 3 + 1e-3, exclusive: false },
      null,
    )
    expect(accepts(third, '0.3333333333333333')).toBe(false)
    expect(accepts(third, '0.3334')).toBe(true)
  })

  test('decimal places can be limited', () => {
    const cents = numbersBetween({ value: 0, exclusive: false }, { value: 5, exclusive: false }, 2)
    expect(accepts(cents, '1.25')).toBe(true)
    expect(accepts(cents, '1.255')).toBe(false)
  })
})
