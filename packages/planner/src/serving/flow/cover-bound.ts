import type { FlowInstance } from './flow-instance.ts'

/** Steps into which a flow is divided; rates are rounded up to them, so that the bound stays one. */
const steps = 2000
const halvings = 12
/** Of the bound it starts from, the lowest that is looked for. */
const lowest = 0.4
const mostColumns = 150
/** More kinds of devices make programs that take longer than the bound is worth. */
const mostKinds = 16
const rounding = 1e-9

/** Devices with the same rates. */
interface Kind {
  readonly rates: readonly number[]
  readonly count: number
}

/**
 * A ceiling on the flow of any placement that counts devices whole: at each layer the rates of those that hold it add up
 * to the flow at least, and a device that holds k layers gives a k-th of itself to each. A flow is impossible if there
 * are prices of devices for which the cheapest such cover of one layer, times the layers, costs more than all devices do.
 * The prices come from the linear program over covers, solved by generating columns; links are not looked at.
 *
 * @param below - another ceiling, which is returned where this one is no lower
 * @see Gilmore and Gomory 1961 (doi:10.1287/opre.9.6.849) for generating columns by a knapsack
 */
export function coverBound({ devices, layers }: FlowInstance, below: number): number {
  const kinds = new Map<string, { readonly rates: readonly number[]; count: number }>()
  for (const { tokensPerSecondByLayers } of devices) {
    const rates = tokensPerSecondByLayers.slice(0, layers)
    const key = rates.join()
    const known = kinds.get(key)
    if (known === undefined) kinds.set(key, { rates, count: 1 })
    else known.count += 1
  }
  if (kinds.size > mostKinds || !(below > 0)) return below
  let possible = below * lowest
  let impossible = below
  for (let round = 0; round < halvings; round += 1) {
    const middle = (possible + impossible) / 2
    if (isExcluded([...kinds.values()], layers, middle)) impossible = middle
    else possible = middle
  }
  return impossible
}

/** Whether prices prove that the flow is impossible; false where they were not found. */
function isExcluded(kinds: readonly Kind[], layers: number, flow: number): boolean {
  const program = new PackingProgram(kinds.map(({ count }) => count))
  const covers = new Covers(kinds, flow)
  for (let column = 0; column < mostColumns; column += 1) {
    if (program.value >= layers) return false
    const prices = program.prices()
    const { cost, use } = covers.cheapest(prices)
    const worth = prices.reduce((sum, price, kind) => sum + price * kinds[kind]!.count, 0)
    if (worth < cost * layers * (1 - rounding)) return true
    if (cost >= 1 - rounding || !program.enter(use)) return false
  }
  return false
}

/** The cheapest devices, by the fraction, whose rates add up to a flow. */
class Covers {
  private readonly items: readonly { readonly kind: number; readonly layers: number; readonly size: number }[]
  private readonly best = new Float64Array(steps + 1)
  private readonly chosen = new Int32Array(steps + 1)

  constructor(
    private readonly kinds: readonly Kind[],
    flow: number,
  ) {
    this.items = kinds
      .flatMap(({ rates }, kind) =>
        rates.map((rate, at) => ({
          kind,
          layers: at + 1,
          size: Math.min(steps, Math.ceil((rate / flow) * steps)),
        })),
      )
      .filter(({ size }) => size > 0)
      .sort((a, b) => b.size - a.size || b.layers - a.layers)
  }

  cheapest(prices: readonly number[]): { readonly cost: number; readonly use: readonly number[] } {
    const { best, chosen } = this
    const useful: { readonly at: number; readonly size: number; readonly cost: number }[] = []
    let least = Number.POSITIVE_INFINITY
    for (const [at, { kind, layers, size }] of this.items.entries()) {
      const cost = prices[kind]! / layers
      if (cost >= least) continue
      least = cost
      useful.push({ at, size, cost })
    }
    best[0] = 0
    for (let size = 1; size <= steps; size += 1) {
      best[size] = Number.POSITIVE_INFINITY
      for (const item of useful) {
        const cost = best[size > item.size ? size - item.size : 0]! + item.cost
        if (cost >= best[size]!) continue
        best[size] = cost
        chosen[size] = item.at
      }
    }
    const use = this.kinds.map(() => 0)
    if (useful.length === 0) return { cost: Number.POSITIVE_INFINITY, use }
    for (let left = steps; left > 0; ) {
      const { kind, layers, size } = this.items[chosen[left]!]!
      use[kind]! += 1 / layers
      left = Math.max(0, left - size)
    }
    return { cost: best[steps]!, use }
  }
}

/** Columns worth 1 each, as much of them as rows have room for: the revised simplex method with the inverse kept whole. */
class PackingProgram {
  private readonly inverse: number[][]
  private readonly amount: number[]
  /** Whether the basic variable of a row is a column, or the row's slack. */
  private readonly isColumn: boolean[]

  constructor(private readonly room: readonly number[]) {
    this.inverse = room.map((_, row) => room.map((__, column) => (row === column ? 1 : 0)))
    this.amount = [...room]
    this.isColumn = room.map(() => false)
  }

  get value(): number {
    return this.amount.reduce((sum, amount, row) => sum + (this.isColumn[row]! ? amount : 0), 0)
  }

  /** Of rows, above 0: what is free gets a little, so that columns do not waste it. */
  prices(): readonly number[] {
    return this.room.map((room, column) => {
      let price = 0
      for (const [row, isColumn] of this.isColumn.entries())
        if (isColumn) price += this.inverse[row]![column]!
      return Math.max(price, 1e-7 / room)
    })
  }

  /** @returns false if nothing limits the column */
  enter(use: readonly number[]): boolean {
    const { inverse, amount } = this
    const change = inverse.map((row) => row.reduce((sum, each, column) => sum + each * use[column]!, 0))
    let leaving = -1
    for (const [row, by] of change.entries()) {
      if (by <= rounding) continue
      if (leaving < 0 || amount[row]! / by < amount[leaving]! / change[leaving]!) leaving = row
    }
    if (leaving < 0) return false
    const pivot = change[leaving]!
    inverse[leaving] = inverse[leaving]!.map((each) => each / pivot)
    amount[leaving]! /= pivot
    for (const [row, by] of change.entries()) {
      if (row === leaving || by === 0) continue
      inverse[row] = inverse[row]!.map((each, column) => each - by * inverse[leaving]![column]!)
      amount[row] = Math.max(0, amount[row]! - by * amount[leaving]!)
    }
    this.isColumn[leaving] = true
    return true
  }
}
