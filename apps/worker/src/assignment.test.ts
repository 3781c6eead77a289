import { expect, test } from 'vitest'
import { AssignmentError, parseAssignment } from './assignment.ts'

const valid = {
  ...{ worker: 'w0', ring: 'r', stage: 0, stages: 2, layers: { first: 0, end: 4 }, listen: '127.0.0.1:0' },
  ...{
    model: { id: 'm', path: '/m', fingerprint: 'f00d' },
    weightType: 'native',
    kvType: 'auto',
    kvBytes: 1e6,
    kvStoreBytes: 1e6,
    calibration: null,
    contextLength: 512,
  },
  ...{
    maxBatchTokens: 128,
    threads: 1,
    device: null,
    cacheDir: '/c',
    adapters: [],
    speed: 1,
    activations: 'lossless',
  },
  ...{ microbatches: 2, maxSessions: 8, maxQueued: 8, prefixCache: true, prefillChunkTokens: 'auto' },
  ...{ machineKey: null, relay: null, split: { tensor: 1, experts: 1, context: 1 }, rank: 0 },
}

test('a complete assignment is taken as it is', () => {
  expect(parseAssignment(JSON.stringify(valid))).toEqual(valid)
})

test('a fingerprint that is not told is found out', () => {
  const { id, path } = valid.model
  const { model } = parseAssignment(JSON.stringify({ ...valid, model: { id, path } }))
  expect(model).toEqual({ id, path, fingerprint: null })
})

test('a divided stage needs no word of what is not divided', () => {
  const { split } = parseAssignment(JSON.stringify({ ...valid, split: { tensor: 2 }, rank: 1 }))
  expect(split).toEqual({ tensor: 2, experts: 1, context: 1 })
})

test.each<[string, string | undefined, RegExp]>([
  ['nothing', undefined, /without an assignment/],
  ['no JSON', '{', /not JSON/],
  ['a stage outside the ring', JSON.stringify({ ...valid, stage: 2 }), /stage: stage must be below stages/],
  ['no layers', JSON.stringify({ ...valid, layers: { first: 4, end: 4 } }), /layers: must not be empty/],
  ['an unknown type', JSON.stringify({ ...valid, weightType: 'Q9' }), /weightType/],
  ['an unknown field', JSON.stringify({ ...valid, color: 'red' }), /color/],
  ['an unknown KV type', JSON.stringify({ ...valid, kvType: 'Q5_0' }), /kvType/],
  ['an empty prompt chunk', JSON.stringify({ ...valid, prefillChunkTokens: 0 }), /prefillChunkTokens/],
  [
    'an adapter named twice',
    JSON.stringify({ ...valid, adapters: ['/a', '/b'].map((path) => ({ name: 'x', path })) }),
    /adapters: must not name an adapter twice/,
  ],
  ['a rank that there is not', JSON.stringify({ ...valid, rank: 1 }), /rank: must be below/],
  [
    'an adapter for a divided stage',
    JSON.stringify({ ...valid, split: { experts: 2 }, adapters: [{ name: 'x', path: '/a' }] }),
    /adapters: cannot be used/,
  ],
  [
    'a pace below zero',
    JSON.stringify({ ...valid, pace: { stepMs: 1, sessionMs: -1, promptTokenMs: 0 } }),
    /pace.sessionMs/,
  ],
  ['a speed of zero', JSON.stringify({ ...valid, speed: 0 }), /speed/],
])('%s is refused by name', (_, text, message) => {
  expect(() => parseAssignment(text)).toThrow(AssignmentError)
  expect(() => parseAssignment(text)).toThrow(message)
})
