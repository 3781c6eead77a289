import { setTimeout } from 'node:timers/promises'
import { interquartileRange, median } from './contract.ts'

/** One measurement: sets up what it needs, times only what it is about, returns a number in the bench's unit. */
export type Measurement = () => Promise<number> | number

export interface Pairs {
  readonly a: readonly number[]
  readonly b: readonly number[]
  /** `a / b` of each pair. */
  readonly ratios: readonly number[]
  readonly medianRatio: number
  readonly spread: number
}

export interface PairOptions {
  /** Pairs that count. */
  readonly n: number
  readonly a: Measurement
  readonly b: Measurement
  /** Pairs run first and thrown away; default 1. */
  readonly warmUps?: number
}

const windowMs = 5
const idleMs = 1.5
const longestMs = 1000

/**
 * Waits until this process is idle: native threads spin for a while after their work, and would slow down what is
 * measured next.
 */
export async function settle(): Promise<void> {
  for (let waitedMs = 0; waitedMs < longestMs; waitedMs += windowMs) {
    const before = process.cpuUsage()
    await setTimeout(windowMs)
    const { user, system } = process.cpuUsage(before)
    if ((user + system) / 1000 < idleMs) return
  }
}

/**
 * Measures two things in turn, a b b a a b …, so that drift of the machine falls on both alike, each after the
 * process has settled; a ratio is only taken within a pair.
 */
export async function measurePairs({ n, a, b, warmUps = 1 }: PairOptions): Promise<Pairs> {
  if (!Number.isInteger(n) || n < 1) throw new RangeError(`At least one pair is needed, not ${n}.`)
  const results: { a: number; b: number }[] = []
  for (let pair = 0; pair < warmUps + n; pair++) {
    const result = pair % 2 === 0 ? await forwards(a, b) : await backwards(a, b)
    if (pair >= warmUps) results.push(result)
  }
  const ratios = results.map((pair) => pair.a / pair.b)
  return {
    a: results.map((pair) => pair.a),
    b: results.map((pair) => pair.b),
    ratios,
    medianRatio: median(ratios),
    spread: interquartileRange(ratios),
  }
}

async function forwards(measureA: Measurement, measureB: Measurement) {
  const a = await measureSettled(measureA)
  return { a, b: await measureSettled(measureB) }
}

async function backwards(measureA: Measurement, measureB: Measurement) {
  const b = await measureSettled(measureB)
  return { a: await measureSettled(measureA), b }
}

async function measureSettled(measurement: Measurement): Promise<number> {
  await settle()
  return measurement()
}
