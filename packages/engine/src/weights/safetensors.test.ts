import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DomainError } from '@deos/domain'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encodeSafetensors } from '../testing/safetensors-writer.ts'
import { readSafetensors } from './safetensors.ts'

let folder: string
let counter = 0

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'deos-safetensors-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function writeBytes(data: Uint8Array): Promise<string> {
  const path = join(folder, `${counter++}.safetensors`)
  await writeFile(path, data)
  return path
}

function withHeader(header: unknown, dataBytes: number): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, Buffer.alloc(dataBytes)])
}

const sound = encodeSafetensors([
  { name: 'matrix', dtype: 'BF16', shape: [3, 2], data: new Uint8Array(12) },
  { name: 'vector', dtype: 'F32', shape: [4], data: new Uint8Array(16) },
])

test('shapes come fastest dim first, offsets from the start of the file', async () => {
  const { tensors, dataOffset, sizeBytes } = await readSafetensors(await writeBytes(sound))
  expect(sizeBytes).toBe(sound.length)
  expect(tensors.get('matrix')).toMatchObject({
    type: 'BF16',
    shape: [2, 3],
    offset: dataOffset,
    sizeBytes: 12,
  })
  expect(tensors.get('vector')).toMatchObject({
    type: 'F32',
    shape: [4],
    offset: dataOffset + 12,
    sizeBytes: 16,
  })
})

const entry = (dtype: unknown, shape: unknown, offsets: unknown) => ({ dtype, shape, data_offsets: offsets })

test.each<[string, Buffer, RegExp]>([
  ['an empty file', Buffer.alloc(0), /ends at byte 0 in the middle of the header length/],
  [
    'a huge header',
    Buffer.from('ffffffffff000000', 'hex'),
    /announces a header of 1099511627775 bytes, but 0 follow/,
  ],
  ['a header that is not JSON', withHeader('{"a":', 0), /header that is not JSON/],
  ['a header that is a list', withHeader([], 0), /not a JSON object/],
  ['no dtype', withHeader({ t: entry(null, [1], [0, 4]) }, 4), /tensor t has no proper dtype/],
  ['no shape', withHeader({ t: entry('F32', 'x', [0, 4]) }, 4), /tensor t has no proper/],
  ['a negative extent', withHeader({ t: entry('F32', [-1], [0, 4]) }, 4), /tensor t has no proper/],
  ['a fractional offset', withHeader({ t: entry('F32', [1], [0, 4.5]) }, 5), /tensor t has no proper/],
  ['an entry that is a text', withHeader({ t: 'x' }, 0), /tensor t has no proper/],
  ['eight-bit floats', withHeader({ t: entry('F8_E5M2', [4], [0, 4]) }, 4), /tensor t is stored as F8_E5M2/],
  [
    'an inherited name as dtype',
    withHeader({ t: entry('constructor', [4], [0, 4]) }, 4),
    /stored as constructor/,
  ],
  [
    'a shape of another size',
    withHeader({ t: entry('F16', [3], [0, 4]) }, 4),
    /takes bytes \[0, 4\), but its shape/,
  ],
  ['offsets backwards', withHeader({ t: entry('F16', [2], [4, 0]) }, 4), /takes bytes \[4, 0\)/],
  ['an extent of 0', withHeader({ t: entry('F16', [0], [0, 0]) }, 0), /its shape \[0\]/],
  [
    'data beyond the end',
    withHeader({ t: entry('F32', [4], [0, 16]) }, 8),
    /tensor t ends at byte \d+, but the file has/,
  ],
  [
    'overlapping tensors',
    withHeader({ a: entry('F32', [2], [0, 8]), b: entry('F32', [2], [4, 12]) }, 12),
    /tensor a ends at byte \d+, inside tensor b/,
  ],
  ['a hole', withHeader({ t: entry('F32', [1], [4, 8]) }, 8), /has \d+ bytes, but header and tensors make/],
  ['bytes behind the last tensor', Buffer.concat([sound, Buffer.alloc(1)]), /but header and tensors make/],
])('refuses %s', async (_, data, message) => {
  const path = await writeBytes(data)
  const error = await readSafetensors(path).catch((caught: unknown) => caught)
  expect(error).toBeInstanceOf(DomainError)
  expect((error as DomainError).message).toMatch(message)
  expect((error as DomainError).message).toContain(path)
})

test('refuses a file cut anywhere', async () => {
  for (let length = 0; length < sound.length; length += 1) {
    const path = await writeBytes(sound.subarray(0, length))
    await expect(readSafetensors(path), `cut to ${length}`).rejects.toBeInstanceOf(DomainError)
  }
})

test('bytes flipped at random are read in bounds or refused, nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(sound.length - 1), fc.integer({ min: 1, max: 255 })), {
        minLength: 1,
        maxLength: 4,
      }),
      async (flips) => {
        const damaged = Buffer.from(sound)
        for (const [at, mask] of flips) damaged[at] = damaged[at]! ^ mask
        const outcome = await readSafetensors(await writeBytes(damaged)).catch((error: Error) => error)
        expect(!(outcome instanceof Error) || outcome instanceof DomainError).toBe(true)
        if (outcome instanceof Error) return
        for (const { offset, sizeBytes } of outcome.tensors.values()) {
          expect(offset + sizeBytes).toBeLessThanOrEqual(damaged.length)
        }
      },
    ),
    { numRuns: 300 },
  )
})

test('any JSON for a header is read or refused', async () => {
  await fc.assert(
    fc.asyncProperty(fc.json(), async (json) => {
      const outcome = await readSafetensors(await writeBytes(withHeader(json, 16))).catch(
        (error: unknown) => error,
      )
      if (outcome instanceof Error) expect(outcome).toBeInstanceOf(DomainError)
    }),
    { numRuns: 200 },
  )
})
