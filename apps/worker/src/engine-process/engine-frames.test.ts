import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodeFrame, FrameReader } from './engine-frames.ts'
import type { EngineMessage } from './engine-messages.ts'

const u32 = fc.nat(0xffff_ffff)
/** The packing writes negative zero as zero. */
const logprob = fc.double({ noNaN: true }).map((value) => value + 0)
const sampled = fc.record({
  token: fc.nat(200_000),
  logprobs: fc.option(fc.record({ logprob, top: fc.constant([]) })),
})
const message: fc.Arbitrary<EngineMessage> = fc.oneof(
  fc
    .array(fc.record({ key: u32, position: u32, count: u32, sample: fc.boolean(), pages: fc.array(u32) }))
    .chain((entries) =>
      fc.record({
        type: fc.constant('step' as const),
        id: u32,
        entries: fc.constant(entries),
        embeds: fc.boolean(),
        coded: fc.boolean(),
        masked: fc.subarray([...entries.keys()]),
      }),
    ),
  fc.record({ type: fc.constant('masks' as const), id: u32, problem: fc.option(fc.string()) }),
  fc.record({
    type: fc.constant('stepped' as const),
    id: u32,
    sampled: fc.array(sampled),
    pooled: u32,
    coded: fc.boolean(),
    computeUs: u32,
  }),
  fc.record({ type: fc.constant('failed' as const), id: u32, message: fc.string() }),
  fc.record({ type: fc.constant('close' as const), key: u32 }),
)

test('frames survive any cutting of the stream', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(message, fc.uint8Array({ maxLength: 200_000 })), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 70_000 }),
      (frames, chunkBytes) => {
        const stream = Buffer.concat(frames.map(([head, payload]) => encodeFrame(head, payload)))
        const reader = new FrameReader<EngineMessage>()
        const received: [EngineMessage, Uint8Array][] = []
        for (let offset = 0; offset < stream.length; offset += chunkBytes) {
          reader.push(stream.subarray(offset, offset + chunkBytes))
          for (let frame = reader.next(); frame; frame = reader.next()) {
            received.push([frame.message, frame.payload])
          }
        }
        expect(received).toEqual(frames)
      },
    ),
    { numRuns: 60 },
  )
})

test('a payload can be viewed as floats', () => {
  const values = Float32Array.of(1.5, -2, 3e9)
  const reader = new FrameReader<EngineMessage>()
  reader.push(encodeFrame({ type: 'close', key: 1 }, new Uint8Array(values.buffer)))
  const { payload } = reader.next()!
  expect(new Float32Array(payload.buffer)).toEqual(values)
})
