import { GrammarError } from './errors.ts'
import { call, characters, type Expression, lateRule, rule } from './expression.ts'
import { integerFormats } from './formats.ts'
import { anyInteger, anyNumber } from './json-text.ts'
import { type Bound, integersBetween, numbersBetween } from './number-range.ts'
import { type SchemaNode, shown } from './schema-reader.ts'
import { type JsonObject, pointer } from './spec.ts'
import { allOf, multiplesOf, textsOf } from './text-automaton.ts'

const largestDivisor = 10_000
/** Whole numbers up to here survive as doubles, and so does what divides them. */
const exactLimit = 10n ** 15n - 1n

interface NumberFacts {
  readonly low: Bound | null
  readonly high: Bound | null
  /** Bounds of integer formats. */
  readonly lowest: bigint | null
  readonly highest: bigint | null
  readonly divisors: readonly { readonly value: number; readonly path: string }[]
}

export function integerExpression(nodes: readonly SchemaNode[]): Expression {
  const facts = readNumberFacts(nodes)
  const low = largest(facts.lowest, facts.low && wholeAbove(facts.low))
  const high = smallest(facts.highest, facts.high && wholeBelow(facts.high))
  const divisors = facts.divisors.filter(({ value }) => !isUnitFraction(value))
  if (divisors.length === 0)
    return low === null && high === null ? anyInteger : named('integer', integersBetween(low, high))
  const moduli = divisors.map(({ value, path }) => checkDivisor(value, path))
  const { path } = divisors[0]!
  const digits = () => {
    const bounds = textsOf(integersBetween(largest(low, -exactLimit), smallest(high, exactLimit)), path)
    return allOf([bounds, ...moduli.map(multiplesOf)], characters, path)
  }
  return call(lateRule('integer', digits))
}

export function numberExpression(nodes: readonly SchemaNode[]): Expression {
  const facts = readNumberFacts(nodes)
  const { low, high, divisors } = facts
  const isWhole = facts.lowest !== null || divisors.some(({ value }) => Number.isInteger(value))
  if (isWhole) return integerExpression(nodes)
  const fractions = divisors.map(({ value, path }) => decimalPlaces(value, path))
  if (low === null && high === null && fractions.length === 0) return anyNumber
  return named('number', numbersBetween(low, high, fractions.length > 0 ? Math.min(...fractions) : null))
}

/** Whether a number named by `enum` satisfies what stands beside it. */
export function acceptsNumber(nodes: readonly SchemaNode[], value: number): boolean {
  const { low, high, divisors } = readNumberFacts(nodes)
  if (low && (low.exclusive ? value <= low.value : value < low.value)) return false
  if (high && (high.exclusive ? value >= high.value : value > high.value)) return false
  return divisors.every((divisor) => {
    const quotient = value / divisor.value
    // 0.07 / 0.01 is not 7 in doubles.
    return Math.abs(quotient - Math.round(quotient)) <= 1e-9 * Math.max(1, Math.abs(quotient))
  })
}

function named(name: string, body: Expression): Expression {
  return call(rule(name, body))
}

function readNumberFacts(nodes: readonly SchemaNode[]): NumberFacts {
  let low: Bound | null = null
  let high: Bound | null = null
  let lowest: bigint | null = null
  let highest: bigint | null = null
  const divisors: { value: number; path: string }[] = []
  for (const node of nodes) {
    const { minimum, exclusiveMinimum, maximum, exclusiveMaximum, format } = node.schema as JsonObject
    for (const bound of readBounds(node, 'minimum', minimum, 'exclusiveMinimum', exclusiveMinimum))
      if (low === null || bound.value > low.value || (bound.value === low.value && bound.exclusive))
        low = bound
    for (const bound of readBounds(node, 'maximum', maximum, 'exclusiveMaximum', exclusiveMaximum))
      if (high === null || bound.value < high.value || (bound.value === high.value && bound.exclusive))
        high = bound
    const range = integerFormats.get(String(format))
    lowest = largest(lowest, range?.[0] ?? null)
    highest = smallest(highest, range?.[1] ?? null)
    const divisor = readNumber(node, 'multipleOf')
    if (divisor !== null) divisors.push({ value: divisor, path: pointer(node.path, 'multipleOf') })
  }
  return { low, high, lowest, highest, divisors }
}

/** Draft 4 and OpenAPI 3.0 mark a bound as excluded by `true` beside it. */
function readBounds(
  node: SchemaNode,
  keyword: string,
  value: unknown,
  exclusiveKeyword: string,
  exclusive: unknown,
): readonly Bound[] {
  const bounds: Bound[] = []
  if (value !== undefined) bounds.push({ value: readNumber(node, keyword)!, exclusive: exclusive === true })
  if (typeof exclusive !== 'boolean' && exclusive !== undefined)
    bounds.push({ value: readNumber(node, exclusiveKeyword)!, exclusive: true })
  return bounds
}

function readNumber({ schema, path }: SchemaNode, keyword: string): number | null {
  const value = (schema as JsonObject)[keyword]
  if (value === undefined) return null
  if (typeof value === 'number' && (keyword !== 'multipleOf' || value > 0)) return value
  const at = pointer(path, keyword)
  throw new GrammarError(
    `${keyword} at ${shown(at)} is ${JSON.stringify(value)}.`,
    keyword === 'multipleOf' ? 'It must be a number above 0.' : 'It must be a number.',
    at,
  )
}

function wholeAbove({ value, exclusive }: Bound): bigint {
  const whole = BigInt(Math.ceil(value))
  return exclusive && Number.isInteger(value) ? nextDistinct(whole, 1n) : whole
}

function wholeBelow({ value, exclusive }: Bound): bigint {
  const whole = BigInt(Math.floor(value))
  return exclusive && Number.isInteger(value) ? nextDistinct(whole, -1n) : whole
}

/** Beyond 2⁵³ neighbours round to one double, and would not be told apart from an excluded bound. */
function nextDistinct(whole: bigint, direction: 1n | -1n): bigint {
  let step = direction
  while (Number(whole + step) === Number(whole)) step *= 2n
  return whole + step
}

function largest(a: bigint | null, b: bigint | null): bigint | null {
  return a === null ? b : b === null || a > b ? a : b
}

function smallest(a: bigint | null, b: bigint | null): bigint | null {
  return a === null ? b : b === null || a < b ? a : b
}

/** 1, 0.1, 0.01, …: every whole number is a multiple. */
function isUnitFraction(value: number): boolean {
  return value === 1 || /^(0\.0*1|1e-\d+)$/.test(String(value))
}

function decimalPlaces(value: number, path: string): number {
  const text = String(value)
  const places = /^0\.(0*1)$/.exec(text)?.[1]?.length ?? Number(/^1e-(\d+)$/.exec(text)?.[1] ?? Number.NaN)
  if (Number.isNaN(places)) throw refuseDivisor(value, path)
  return places
}

function checkDivisor(value: number, path: string): number {
  if (!Number.isInteger(value) || value > largestDivisor) throw refuseDivisor(value, path)
  return value
}

function refuseDivisor(value: number, path: string): GrammarError {
  return new GrammarError(
    `multipleOf ${value} at ${shown(path)} cannot be enforced.`,
    `Use a whole number up to ${largestDivisor}, or 0.1, 0.01 and so on for decimal places.`,
    path,
  )
}
