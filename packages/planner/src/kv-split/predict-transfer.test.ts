import fc from 'fast-check'
import { expect, test } from 'vitest'
import { adviseSplit, type SplitRates } from './advise-split.ts'
import { goodput, type KvLink, type KvTransfer, predictTransfer } from './predict-transfer.ts'

const one = { first: 0, end: 3 }
const fast: KvLink = { bytesPerSecond: 1_000_000, rttMs: 0, windowBytes: 1e9 }

/** Steps through time event by event: stages that compute, links that carry one piece after another. */
function simulate({ chunks, senders, receivers, hopMs, link }: KvTransfer): {
  computedMs: number
  finishMs: number
} {
  const events: { atMs: number; run: (nowMs: number) => void }[] = []
  const at = (atMs: number, run: (nowMs: number) => void): void => void events.push({ atMs, run })
  let computedMs = 0
  let finishMs = 0
  const wires = new Map<string, { readonly queue: number[]; busy: boolean }>()

  const carry = (name: string, piece: KvLink, nowMs: number): void => {
    const wire = wires.get(name)!
    const size = wire.queue.shift()
    wire.busy = size !== undefined
    if (size === undefined) return
    at(nowMs + (size / goodput(piece)) * 1000, (doneMs) => {
      finishMs = Math.max(finishMs, doneMs + piece.rttMs / 2)
      carry(name, piece, doneMs)
    })
  }
  const leave = (sender: number, layer: number, size: number, nowMs: number): void => {
    const receiver = receivers.findIndex(({ first, end }) => layer >= first && layer < end)
    const name = `${sender}.${receiver}`
    if (!wires.has(name)) wires.set(name, { queue: [], busy: false })
    if (size === 0) return
    wires.get(name)!.queue.push(size)
    if (!wires.get(name)!.busy) carry(name, link(sender, receiver), nowMs)
  }
  const inbox = senders.map((): number[] => [])
  const working = senders.map(() => false)
  const work = (stage: number, nowMs: number): void => {
    const chunk = inbox[stage]![0]
    if (working[stage] || chunk === undefined) return
    working[stage] = true
    inbox[stage]!.shift()
    const layer = (index: number, startMs: number): void => {
      if (index === senders[stage]!.end) {
        working[stage] = false
        computedMs = Math.max(computedMs, startMs)
        if (stage + 1 < senders.length) {
          at(startMs + hopMs, (thenMs) => {
            inbox[stage + 1]!.push(chunk)
            work(stage + 1, thenMs)
          })
        }
        work(stage, startMs)
        return
      }
      at(startMs + chunks[chunk]!.computeMs[index]!, (doneMs) => {
        leave(stage, index, chunks[chunk]!.sizeBytes[index]!, doneMs)
        layer(index + 1, doneMs)
      })
    }
    layer(senders[stage]!.first, nowMs)
  }
  chunks.forEach((_, chunk) => {
    inbox[0]!.push(chunk)
  })
  work(0, 0)
  while (events.length > 0) {
    let next = 0
    for (const [index, { atMs }] of events.entries()) if (atMs < events[next]!.atMs) next = index
    const [event] = events.splice(next, 1)
    event!.run(event!.atMs)
  }
  return { computedMs, finishMs: Math.max(finishMs, computedMs) }
}

const cut = (layers: number) =>
  fc.uniqueArray(fc.integer({ min: 1, max: layers }), { maxLength: 3 }).map((inner) => {
    const ends = [...new Set([...inner, layers])].sort((a, b) => a - b)
    return ends.map((end, index) => ({ first: index === 0 ? 0 : ends[index - 1]!, end }))
  })

const anyTransfer: fc.Arbitrary<KvTransfer> = fc.integer({ min: 1, max: 7 }).chain((layers) =>
  fc
    .record({
      chunks: fc.array(
        fc.record({
          computeMs: fc.array(fc.integer({ min: 0, max: 50 }), { minLength: layers, maxLength: layers }),
          sizeBytes: fc.array(fc.integer({ min: 0, max: 5_000 }), { minLength: layers, maxLength: layers }),
        }),
        { minLength: 1, maxLength: 6 },
      ),
      senders: cut(layers),
      receivers: cut(layers),
      hopMs: fc.integer({ min: 0, max: 20 }),
      links: fc.array(
        fc.record({
          bytesPerSecond: fc.integer({ min: 10_000, max: 2_000_000 }),
          rttMs: fc.integer({ min: 0, max: 200 }),
          windowBytes: fc.integer({ min: 500, max: 100_000 }),
        }),
        { minLength: 16, maxLength: 16 },
      ),
    })
    .map(({ links, ...rest }) => ({ ...rest, link: (s: number, r: number) => links[s * 4 + r]! })),
)

test('one link and one chunk: the formula by hand', () => {
  // Layers of 10 ms and 30, 20 and 5 ms of sending: 10 + 55, 20 + 25 and 30 + 5; the first layer binds.
  const chunks = [{ computeMs: [10, 10, 10], sizeBytes: [30_000, 20_000, 5_000] }]
  const forecast = predictTransfer({ chunks, senders: [one], receivers: [one], hopMs: 0, link: () => fast })
  expect(forecast).toMatchObject({ computedMs: 30, finishMs: 65, exposedMs: 35 })
  expect(forecast.links[0]!.binding).toEqual({ chunk: 0, layer: 0 })
})

test('where the link is faster than computing, only the last layer is exposed', () => {
  const chunks = [{ computeMs: [10, 10, 10], sizeBytes: [5_000, 5_000, 4_000] }]
  const forecast = predictTransfer({ chunks, senders: [one], receivers: [one], hopMs: 0, link: () => fast })
  expect(forecast.exposedMs).toBeCloseTo(4, 9)
})

test('equals a simulation event by event, for all boundaries, chunks and links', () => {
  fc.assert(
    fc.property(anyTransfer, (transfer) => {
      const forecast = predictTransfer(transfer)
      const simulated = simulate(transfer)
      expect(forecast.computedMs).toBeCloseTo(simulated.computedMs, 6)
      expect(forecast.finishMs).toBeCloseTo(simulated.finishMs, 6)
    }),
    { numRuns: 1_500 },
  )
})

test('what makes no sense is refused by name', () => {
  const chunks = [{ computeMs: [1, 1, 1], sizeBytes: [1, 1, 1] }]
  const valid = { chunks, senders: [one], receivers: [one], hopMs: 0, link: () => fast }
  expect(() => predictTransfer({ ...valid, chunks: [] })).toThrow('no chunk')
  expect(() => predictTransfer({ ...valid, senders: [{ first: 0, end: 2 }] })).toThrow('senders cover 2 of 3')
  expect(() => predictTransfer({ ...valid, receivers: [{ first: 1, end: 3 }] })).toThrow('layer 0')
  expect(() => predictTransfer({ ...valid, link: () => ({ ...fast, bytesPerSecond: 0 }) })).toThrow('0 B/s')
  const odd = [{ computeMs: [1, Number.NaN, 1], sizeBytes: [1, 1, 1] }]
  expect(() => predictTransfer({ ...valid, chunks: odd })).toThrow('NaN')
})

/** Llama-3.1-8B: 128 KiB of KV for a position; there at 5,000 tokens/s, here at 500; 1 Gbit/s, 4 times compressed. */
const rates: SplitRates = {
  hereMsPerToken: 2,
  thereMsPerToken: 0.2,
  thereStartMs: 100,
  bytesPerToken: 131_072 / 4,
  bytesPerSecond: 125_000_000,
  rttMs: 20,
  lastPieceBytes: (512 * 4_096) / 4,
  takeOverMs: 40,
}

test('a split pays from a certain length on, and says why', () => {
  // 100 + 4.19 + 20 + 40 = 164 ms, at 1.8 - 0.262 ms for each position.
  expect(adviseSplit(2_000, rates)).toMatchObject({ split: true, breakEvenTokens: 107 })
  expect(adviseSplit(100, rates)).toMatchObject({ split: false, breakEvenTokens: 107 })
  expect(adviseSplit(100, rates).reason).toMatch(
    /^Computed here: sending takes 0.262 ms.*from 107 positions on/,
  )
  const slow = adviseSplit(100_000, { ...rates, bytesPerSecond: 12_500_000 })
  expect(slow).toMatchObject({ split: false, breakEvenTokens: null })
  expect(slow.reason).toMatch('sending takes 2.62 ms')
  expect(() => adviseSplit(1, { ...rates, bytesPerSecond: 0 })).toThrow('bytesPerSecond is 0')
})

test('the break-even length is where it says', () => {
  const rate = fc.double({ min: 0.001, max: 10, noNaN: true })
  fc.assert(
    fc.property(rate, rate, rate, fc.integer({ min: 1, max: 100_000 }), (here, there, send, tokens) => {
      const drawn = { ...rates, hereMsPerToken: here, thereMsPerToken: there, bytesPerToken: send * 125_000 }
      const { split, hereMs, splitMs, breakEvenTokens } = adviseSplit(tokens, drawn)
      expect(split).toBe(breakEvenTokens !== null && tokens >= breakEvenTokens)
      if (split) expect(splitMs).toBeLessThanOrEqual(hereMs * 0.9 + 1e-6)
      else expect(splitMs).toBeGreaterThan(hereMs * 0.9 - 1e-6)
    }),
    { numRuns: 500 },
  )
})
