import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { LinkSettings } from '../profile/link-settings.ts'
import { DirectedLink } from './directed-link.ts'
import { seededRandom } from './seeded-random.ts'
import { ShapedStream } from './shaped-stream.ts'
import { lossCap, SEGMENT_BYTES } from './tcp-loss.ts'
import { Throttle } from './throttle.ts'

const plain: LinkSettings = {
  oneWayMs: 40,
  jitterMs: 0,
  loss: 0,
  bytesPerSecond: Number.POSITIVE_INFINITY,
}

const linkOf = (settings: Partial<LinkSettings>, shared?: Throttle) => {
  const own = { ...plain, ...settings }
  return new DirectedLink(own, [shared ?? new Throttle(own.bytesPerSecond)])
}

const streamOf = (out: DirectedLink, seed = 1, back = linkOf({})) =>
  new ShapedStream(out, back, seededRandom(seed, 'test'))

/** When each of the chunks that entered came out, until none is left or nobody knows. */
function drain(stream: ShapedStream): number[] {
  const times: number[] = []
  for (let atMs = stream.arrivalMs; Number.isFinite(atMs); atMs = stream.arrivalMs) {
    while (stream.take(atMs) !== null) times.push(atMs)
  }
  return times
}

test('without limits a chunk takes the delay, not more and not less', () => {
  const stream = streamOf(linkOf({}))
  stream.send(1000, 5)
  expect(stream.take(44.999)).toBeNull()
  expect(stream.arrivalMs).toBe(45)
  expect(stream.take(45)).toBe(1000)
  expect(stream.take(1e6)).toBeNull()
})

test('100 kB over 1 MB/s take 100 ms and the delay, shared by two connections twice as long', () => {
  const wire = new Throttle(1e6)
  const link = linkOf({ bytesPerSecond: 1e6 }, wire)
  const [a, b] = [streamOf(link), streamOf(link)]
  for (let chunk = 0; chunk < 10; chunk++) {
    a.send(10_000, 0)
    b.send(10_000, 0)
  }
  expect(drain(a).at(-1)).toBeCloseTo(190 + 40, 6)
  expect(drain(b).at(-1)).toBeCloseTo(200 + 40, 6)
})

test('a burst passes at once, and no more than the rate in the long run', () => {
  const wire = new Throttle(1e6, 20_000)
  expect(wire.take(20_000, 0)).toBe(0)
  expect(wire.take(10_000, 0)).toBeCloseTo(10, 6)
  expect(wire.take(20_000, 1000)).toBe(1000)
})

test('chunks never come before the delay, never out of order, and never faster than the link', () => {
  fc.assert(
    fc.property(
      fc.record({
        seed: fc.integer(),
        jitterMs: fc.double({ min: 0, max: 30, noNaN: true }),
        loss: fc.double({ min: 0, max: 0.2, noNaN: true }),
        rate: fc.integer({ min: 10_000, max: 10_000_000 }),
        sends: fc.array(fc.tuple(fc.integer({ min: 1, max: 65_536 }), fc.nat(50)), {
          minLength: 1,
          maxLength: 40,
        }),
      }),
      ({ seed, jitterMs, loss, rate, sends }) => {
        const run = () => {
          const stream = streamOf(linkOf({ jitterMs, loss, bytesPerSecond: rate }), seed)
          let now = 0
          const sentMs = sends.map(([size, pauseMs]) => {
            now += pauseMs
            stream.send(size, now)
            return now
          })
          return { sentMs, times: drain(stream) }
        }
        const { sentMs, times } = run()
        expect(times).toHaveLength(sends.length)
        for (const [index, atMs] of times.entries()) {
          expect(atMs).toBeGreaterThanOrEqual(sentMs[index]! + 40)
          if (index > 0) expect(atMs).toBeGreaterThanOrEqual(times[index - 1]!)
        }
        const bytes = sends.reduce((sum, [size]) => sum + size, 0)
        expect(times.at(-1)! - 40).toBeGreaterThanOrEqual((bytes * 1000) / rate - 1e-6)
        expect(run().times).toEqual(times)
      },
    ),
  )
})

test('jitter alone keeps delays within its bounds, and fills them', () => {
  const delays = Array.from({ length: 200 }, (_, seed) => {
    const stream = streamOf(linkOf({ jitterMs: 10 }), seed)
    stream.send(100, 0)
    return stream.arrivalMs
  })
  expect(Math.min(...delays)).toBeGreaterThanOrEqual(40)
  expect(Math.max(...delays)).toBeLessThan(50)
  expect(Math.max(...delays) - Math.min(...delays)).toBeGreaterThan(8)
})

test('a connection over 80 ms with 1% loss gets what Mathis et al. say: 1.22 segments / (RTT sqrt p)', () => {
  expect(lossCap(80, 0.01)).toBeCloseTo((Math.sqrt(1.5) / 0.1 / 0.08) * SEGMENT_BYTES, 0)
  expect(lossCap(80, 0)).toBe(Number.POSITIVE_INFINITY)
  const stream = streamOf(linkOf({ loss: 0.01 }))
  for (let chunk = 0; chunk < 400; chunk++) stream.send(64_000, 0)
  const seconds = drain(stream).at(-1)! / 1000
  const goodput = (400 * 64_000) / seconds
  expect(goodput / lossCap(80, 0.01)).toBeGreaterThan(0.95)
  expect(goodput / lossCap(80, 0.01)).toBeLessThan(1.01)
})

test('a lost message that nothing follows comes a retransmission timeout later, and holds up what follows', () => {
  const stream = streamOf(linkOf({ loss: 0.5 }))
  const sent = 200
  for (let message = 0; message < sent; message++) stream.send(100, message * 1000)
  const delays = drain(stream).map((atMs, message) => atMs - message * 1000)
  const late = delays.filter((delay) => delay > 41)
  for (const delay of late) expect(delay).toBeCloseTo(40 + 80 + 200, 6)
  expect(late.length).toBeGreaterThan(sent / 4)
  expect(late.length).toBeLessThan((sent * 3) / 4)
})

test('a full connection takes no more until acknowledgements are back', () => {
  const stream = streamOf(linkOf({ bytesPerSecond: 1e6 }))
  let entered = 0
  while (!stream.isFull(0)) {
    stream.send(16_384, 0)
    entered += 16_384
  }
  expect(entered).toBeLessThanOrEqual(256 * 1024 + 16_384)
  const firstMs = stream.arrivalMs
  expect(stream.take(firstMs)).toBe(16_384)
  expect(stream.roomMs).toBeCloseTo(firstMs + 40, 6)
  expect(stream.isFull(firstMs + 39)).toBe(true)
  expect(stream.isFull(firstMs + 41)).toBe(false)
})

test('what enters a blocked link comes with the first retransmission after it is open', () => {
  const link = linkOf({})
  const stream = streamOf(link)
  link.block(10)
  stream.send(100, 20)
  expect(stream.arrivalMs).toBe(Number.POSITIVE_INFINITY)
  link.open(1000)
  // Timeouts of 280, 560 and 1120 ms after 20 ms: the third attempt, at 1980 ms, is the first that passes.
  expect(stream.arrivalMs).toBeCloseTo(20 + 280 + 560 + 1120 + 40, 6)
})

test('what is under way when a link is blocked is lost too; what had arrived is not', () => {
  const link = linkOf({})
  const stream = streamOf(link)
  stream.send(1, 0)
  stream.send(2, 30)
  link.block(50)
  expect(stream.take(40)).toBe(1)
  expect(stream.take(100)).toBeNull()
  expect(stream.arrivalMs).toBe(Number.POSITIVE_INFINITY)
})

test('if only the way back is blocked, bytes arrive until the window is full', () => {
  const back = linkOf({})
  const stream = streamOf(linkOf({ bytesPerSecond: 1e6 }), 1, back)
  back.block(0)
  let entered = 0
  for (; !stream.isFull(0); entered++) stream.send(16_384, 0)
  expect(drain(stream)).toHaveLength(entered)
  expect(stream.isFull(1e9)).toBe(true)
  back.open(5000)
  expect(stream.isFull(5041)).toBe(false)
})
