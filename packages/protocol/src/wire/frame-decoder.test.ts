import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Message, PROTOCOL_VERSION, type Step } from '../messages.ts'
import { arbitraryMessage, messageArbitraries } from '../testing/arbitrary-messages.ts'
import { encodeMessage } from './encode-message.ts'
import { FrameDecoder } from './frame-decoder.ts'
import { HEADER_BYTES, messageTypes } from './frame-header.ts'
import { WireError } from './wire-error.ts'
import { defaultWireLimits, type WireLimits } from './wire-limits.ts'

const frameOf = (...messages: readonly Message[]): Uint8Array => {
  const parts = messages.flatMap((message) => [...encodeMessage(message)])
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

function decodeAll(bytes: Uint8Array, cuts: readonly number[] = [], limits: WireLimits = defaultWireLimits) {
  const messages: Message[] = []
  const decoder = new FrameDecoder(limits, (message) => messages.push(message))
  let at = 0
  for (const cut of [...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
    // A fresh, poisoned-after-use chunk proves that nothing keeps a reference to it.
    const chunk = bytes.slice(at, cut)
    decoder.push(chunk)
    chunk.fill(0xee)
    at = cut
  }
  return { messages, partial: decoder.partial }
}

const step = (overrides: Partial<Step> = {}): Step => ({
  type: 'step',
  epoch: 3,
  step: 2 ** 40 + 5,
  entries: [
    { key: 1, position: 10, count: 2, sample: false, pages: [] },
    { key: 2, position: 0, count: 1, sample: true, pages: [] },
  ],
  times: [{ waitUs: 12, computeUs: 4321, linkUs: 7 }],
  hidden: new Uint8Array(Float32Array.from([1, 2, 3, 4, 5, 6]).buffer),
  ...overrides,
})

describe('roundtrip', () => {
  test.each(Object.entries(messageArbitraries))(
    '%s survives encoding and arbitrary cutting',
    (_, arbitrary) => {
      fc.assert(
        fc.property(
          arbitrary as fc.Arbitrary<Message>,
          fc.array(fc.nat(), { maxLength: 6 }),
          (message, cuts) => {
            expect(decodeAll(frameOf(message), cuts)).toEqual({ messages: [message], partial: false })
          },
        ),
        { numRuns: 60 },
      )
    },
  )

  test('a stream of messages comes out in order however it is cut', () => {
    fc.assert(
      fc.property(
        fc.array(arbitraryMessage, { maxLength: 5 }),
        fc.array(fc.nat(), { maxLength: 20 }),
        (messages, cuts) => {
          expect(decodeAll(frameOf(...messages), cuts)).toEqual({ messages, partial: false })
        },
      ),
      { numRuns: 60 },
    )
  })

  test('hidden states are handed over as they are and arrive viewable as float32', () => {
    const message = step()
    expect(encodeMessage(message)[1]).toBe(message.hidden)
    const decoded = decodeAll(frameOf(message), [1, 17, 70]).messages[0] as Step
    expect(decoded.hidden.byteOffset % 8).toBe(0)
    expect([...new Float32Array(decoded.hidden.buffer, decoded.hidden.byteOffset, 6)]).toEqual([
      1, 2, 3, 4, 5, 6,
    ])
  })

  test('a half-arrived frame is reported as partial', () => {
    const bytes = frameOf(step())
    expect(decodeAll(bytes.subarray(0, 9))).toEqual({ messages: [], partial: true })
    expect(decodeAll(bytes.subarray(0, HEADER_BYTES))).toEqual({ messages: [], partial: true })
    expect(decodeAll(bytes.subarray(0, bytes.length - 1))).toEqual({ messages: [], partial: true })
  })
})

describe('refusal', () => {
  const failure = (bytes: Uint8Array, limits?: WireLimits): WireError => {
    try {
      decodeAll(bytes, [], limits)
    } catch (error) {
      expect(error).toBeInstanceOf(WireError)
      return error as WireError
    }
    throw new Error('accepted')
  }
  const patched = (message: Message, patch: (view: DataView) => void): Uint8Array => {
    const bytes = frameOf(message)
    patch(new DataView(bytes.buffer))
    return bytes
  }

  test.each<[string, string, Uint8Array]>([
    ['header.magic', 'WIRE_MALFORMED', patched(step(), (view) => view.setUint16(0, 0x5448, true))],
    ['header.version', 'WIRE_VERSION', patched(step(), (view) => view.setUint8(2, PROTOCOL_VERSION + 1))],
    ['header.type', 'WIRE_MALFORMED', patched(step(), (view) => view.setUint8(3, 99))],
    ['step.metaBytes', 'WIRE_LIMIT', patched(step(), (view) => view.setUint32(4, 0xffffffff, true))],
    ['step.metaBytes', 'WIRE_MALFORMED', patched(step(), (view) => view.setUint32(4, 0, true))],
    ['step.payloadBytes', 'WIRE_LIMIT', patched(step(), (view) => view.setUint32(8, 0xfffffff0, true))],
    ['step.payloadBytes', 'WIRE_MALFORMED', patched(step(), (view) => view.setUint32(8, 23, true))],
    ['step.payloadBytes', 'WIRE_MALFORMED', frameOf(step({ hidden: new Uint8Array(8) }))],
    ['step.payloadBytes', 'WIRE_MALFORMED', frameOf(step({ hidden: new Uint8Array(0), coded: true }))],
    ['step.entries.length', 'WIRE_LIMIT', patched(step(), (view) => view.setUint32(24, 5000, true))],
    ['step.entries.length', 'WIRE_MALFORMED', patched(step(), (view) => view.setUint32(24, 4, true))],
    ['step.metaBytes', 'WIRE_MALFORMED', patched(step(), (view) => view.setUint32(24, 1, true))],
    ['step.entries[0].count', 'WIRE_MALFORMED', patched(step(), (view) => view.setUint32(36, 0, true))],
    ['step.times.length', 'WIRE_MALFORMED', patched(step(), (view) => view.setUint32(60, 2, true))],
    ['step.pages', 'WIRE_MALFORMED', patched(step(), (view) => view.setUint32(56, 2, true))],
    ['step.step', 'WIRE_MALFORMED', patched(step(), (view) => view.setUint32(20, 0xffffffff, true))],
    [
      'close.payloadBytes',
      'WIRE_MALFORMED',
      patched({ type: 'close', epoch: 1, key: 1 }, (view) => view.setUint32(8, 4, true)),
    ],
    [
      'step-done.results.finish',
      'WIRE_MALFORMED',
      patched(
        { type: 'step-done', epoch: 1, step: 1, results: [{ key: 1, token: 1, finish: null }], engineUs: 0 },
        (view) => view.setUint32(36, 3, true),
      ),
    ],
  ])('%s out of range is %s', (field, code, bytes) => {
    expect(failure(bytes)).toMatchObject({ field, code })
  })

  test('control fields are checked one by one, and the error names the path', () => {
    const sampling = fc.sample(messageArbitraries['open-request'], { numRuns: 1, seed: 1 })[0]!.sampling
    const open = { ...fc.sample(messageArbitraries.open, { numRuns: 1, seed: 1 })[0]!, resumed: 0 }
    const cases: readonly [string, unknown][] = [
      ['open.maxTokens', { ...open, maxTokens: -1 }],
      ['open.resumed', { ...open, resumed: open.tokens.length + 1 }],
      ['open.tokens', { ...open, tokens: new Int32Array(0) }],
      ['open.tokens[1]', { ...open, tokens: Int32Array.from([4, -2]) }],
      ['open.session', { ...open, session: '' }],
      ['open.gateway', { ...open, gateway: 7 }],
      ['open.stopTokens[0]', { ...open, stopTokens: [1.5] }],
      ['open.sampling', { ...open, sampling: null }],
      ['open.sampling.topP', { ...open, sampling: { ...sampling, topP: 1.01 } }],
      ['open.sampling.temperature', { ...open, sampling: { ...sampling, temperature: Number.NaN } }],
      ['sampling.seed', { ...open, sampling: { ...sampling, seed: '18446744073709551616' } }],
      ['open.sampling.logitBias[0]', { ...open, sampling: { ...sampling, logitBias: [[1, 2, 3]] } }],
      ['rejected.code', { type: 'rejected', session: 's', code: 'bored', message: '', retryAfterMs: 0 }],
      ['failed.message', { type: 'failed', session: 's', code: 'deadline' }],
    ]
    for (const [field, message] of cases) {
      expect(failure(frameOf(message as Message)).field, field).toBe(field)
    }
  })

  test('limits of the receiver hold for ids, texts and lists', () => {
    const limits = { ...defaultWireLimits, maxIdBytes: 4, maxTextBytes: 4, maxListItems: 1 }
    const failed = (session: string, message: string) =>
      frameOf({ type: 'failed', session, code: 'deadline', message } as Message)
    expect(failure(failed('12345', ''), limits)).toMatchObject({
      code: 'WIRE_LIMIT',
      field: 'failed.session',
    })
    expect(failure(failed('1', 'ééé'), limits)).toMatchObject({ code: 'WIRE_LIMIT', field: 'failed.message' })
    const token = {
      type: 'token',
      session: '12345',
      index: 0,
      finish: null,
      sampled: { token: 1, logprobs: null },
      times: [],
      cachedTokens: 0,
    }
    expect(failure(frameOf(token as Message), limits).field).toBe('token.session.length')
  })

  test('a number that its field cannot hold is refused before it is sent', () => {
    expect(() => encodeMessage({ type: 'close', epoch: 1, key: -1 })).toThrow(WireError)
    expect(() => encodeMessage(step({ step: 2 ** 53 }))).toThrow(WireError)
    expect(() => encodeMessage({ type: 'fault', epoch: 2 ** 32, stage: 0, reason: '' })).toThrow(WireError)
  })

  test('messages before the fault arrive, and the decoder stays refused', () => {
    const messages: Message[] = []
    const decoder = new FrameDecoder(defaultWireLimits, (message) => messages.push(message))
    const bytes = frameOf({ type: 'close', epoch: 1, key: 7 }, { type: 'close', epoch: 1, key: 8 })
    bytes[20] = 0
    expect(() => decoder.push(bytes)).toThrow(WireError)
    expect(messages).toEqual([{ type: 'close', epoch: 1, key: 7 }])
    expect(() => decoder.push(frameOf({ type: 'close', epoch: 1, key: 9 }))).toThrow(WireError)
    expect(messages).toHaveLength(1)
  })

  test('MessagePack that would inflate is refused before it is built', () => {
    const metas = [
      [0xdd, 0x7f, 0xff, 0xff, 0xff], // a list of two thousand million items
      [0xdf, 0xff, 0xff, 0xff, 0xff],
      [0xc7, 0x01, 0x00, 0x00], // an extension type
      [0xd4, 0x72, 0x40],
      [0xc4, 0x01, 0x00], // a blob
      new Array<number>(200).fill(0x91), // lists in lists
      [0xdb, 0x00, 0x10, 0x00, 0x00],
      [0xc0, 0xc0],
    ]
    for (const meta of metas) {
      const bytes = new Uint8Array(HEADER_BYTES + meta.length)
      bytes.set(frameOf({ type: 'fault', epoch: 1, stage: 1, reason: '' }).subarray(0, HEADER_BYTES))
      new DataView(bytes.buffer).setUint32(4, meta.length, true)
      bytes.set(meta, HEADER_BYTES)
      expect(failure(bytes).field).toMatch(/^fault\.meta/)
    }
  })
})

describe('fuzz', () => {
  /** Whatever comes, the outcome is messages or a WireError. */
  const survives = (bytes: Uint8Array, cuts: readonly number[]): void => {
    try {
      decodeAll(bytes, cuts)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
    }
  }
  const cuts = fc.array(fc.nat(), { maxLength: 4 })

  test('random bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), cuts, survives), { numRuns: 300 })
  })

  test('random meta and payload under a valid header', () => {
    const body = fc.uint8Array({ minLength: 1, maxLength: 100 })
    const traits = Object.values(messageTypes)
    const codes = traits.map(({ code }) => code)
    const withPayload = new Set(traits.filter(({ payload }) => payload).map(({ code }) => code))
    fc.assert(
      fc.property(fc.constantFrom(...codes), body, body, cuts, (type, meta, payload, where) => {
        const bytes = new Uint8Array(HEADER_BYTES + meta.length + payload.length * 4)
        const view = new DataView(bytes.buffer)
        view.setUint16(0, 0x6544, true)
        view.setUint8(2, PROTOCOL_VERSION)
        view.setUint8(3, type)
        view.setUint32(4, meta.length, true)
        view.setUint32(8, withPayload.has(type) ? payload.length * 4 : 0, true)
        bytes.set(meta, HEADER_BYTES)
        bytes.set(payload, HEADER_BYTES + meta.length)
        survives(bytes, where)
      }),
      { numRuns: 500 },
    )
  })

  test('valid frames with flipped bytes', () => {
    const flips = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    })
    fc.assert(
      fc.property(arbitraryMessage, flips, cuts, (message, changes, where) => {
        const bytes = frameOf(message)
        for (const [at, mask] of changes) bytes[at % bytes.length]! ^= mask
        survives(bytes, where)
      }),
      { numRuns: 500 },
    )
  })
})
