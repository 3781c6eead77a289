import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DomainError } from '@deos/domain'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TensorType } from '../ggml/tensor-type.ts'
import { readGgufHeader } from './gguf-reader.ts'
import { array, type GgufElementType, type GgufScalar, type GgufValue } from './gguf-values.ts'
import { type PlannedTensor, writeGguf } from './gguf-writer.ts'

let folder: string
let counter = 0

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'deos-gguf-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const newPath = () => join(folder, `${counter++}.gguf`)

function tensor(name: string, values: readonly number[], shape = [values.length]): PlannedTensor {
  const data = new Uint8Array(Float32Array.from(values).buffer)
  return { name, type: 'F32', shape, data: () => [data] }
}

async function write(
  metadata: readonly [string, GgufValue][],
  tensors: readonly PlannedTensor[],
): Promise<string> {
  const path = newPath()
  await writeGguf({ path, metadata, tensors })
  return path
}

async function writeBytes(data: Uint8Array): Promise<string> {
  const path = newPath()
  await writeFile(path, data)
  return path
}

const u32 = (value: number) => {
  const data = Buffer.alloc(4)
  data.writeUInt32LE(value)
  return data
}
const u64 = (value: number | bigint) => {
  const data = Buffer.alloc(8)
  data.writeBigUInt64LE(BigInt(value))
  return data
}
const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)])
const header = (tensors: number | bigint, keys: number | bigint, version = 3) =>
  Buffer.concat([Buffer.from('GGUF'), u32(version), u64(tensors), u64(keys)])
const describeTensor = (
  name: string,
  shape: readonly (number | bigint)[],
  type: number,
  offset: number | bigint,
) => Buffer.concat([text(name), u32(shape.length), ...shape.map(u64), u32(type), u64(offset)])
/** A file with these tensor descriptions, padded, and 256 bytes of data behind. */
const fileWith = (...tensors: Buffer[]) => {
  const head = Buffer.concat([header(tensors.length, 0), ...tensors])
  return Buffer.concat([head, Buffer.alloc((32 - (head.length % 32)) % 32), Buffer.alloc(256)])
}

describe('round trip', () => {
  test('metadata of every type', async () => {
    const metadata: [string, GgufValue][] = [
      ['u8', { type: 'uint8', value: 255 }],
      ['i8', { type: 'int8', value: -128 }],
      ['u16', { type: 'uint16', value: 65_535 }],
      ['i16', { type: 'int16', value: -32_768 }],
      ['u32', { type: 'uint32', value: 4_294_967_295 }],
      ['i32', { type: 'int32', value: -2_147_483_648 }],
      ['f32', { type: 'float32', value: 0.5 }],
      ['f64', { type: 'float64', value: Math.PI }],
      ['u64', { type: 'uint64', value: 2 ** 53 - 1 }],
      ['u64 beyond doubles', { type: 'uint64', value: 2n ** 64n - 1n }],
      ['i64', { type: 'int64', value: -(2n ** 63n) }],
      ['yes', { type: 'bool', value: true }],
      ['text', { type: 'string', value: 'Ġhéllo 🦙' }],
      ['empty', array('string', [])],
      ['texts', array('string', ['', 'a', '▁b'])],
      ['flags', array('bool', [true, false])],
      ['scores', array('float32', [-1, 0.25])],
    ]
    const read = await readGgufHeader(await write(metadata, []))
    expect([...read.metadata]).toEqual(metadata)
    expect(read).toMatchObject({ version: 3, alignment: 32 })
  })

  test('tensors lie at multiples of 32 and hold their bytes', async () => {
    const path = await write([], [tensor('a', [1, 2, 3]), tensor('b', [4, 5, 6, 7], [2, 2])])
    const { tensors, dataOffset } = await readGgufHeader(path)
    const { a, b } = Object.fromEntries(tensors)
    expect(a).toMatchObject({ shape: [3], offset: dataOffset, sizeBytes: 12 })
    expect(b).toMatchObject({ shape: [2, 2], offset: dataOffset + 32, sizeBytes: 16 })
    expect((await readFile(path)).readFloatLE(b!.offset + 12)).toBe(7)
  })

  test('a long vocabulary crosses the read buffer', async () => {
    const words = Array.from({ length: 150_000 }, (_, index) => `token ${index} ${'x'.repeat(index % 23)}`)
    const path = await write([['tokenizer.ggml.tokens', array('string', words)]], [tensor('t', [1])])
    const read = await readGgufHeader(path)
    expect(read.metadata.get('tokenizer.ggml.tokens')?.value).toEqual(words)
    expect(read.tensors.size).toBe(1)
  })

  const elements: fc.Arbitrary<{ elementType: GgufElementType; value: GgufScalar[] }> = fc.oneof(
    fc.record({
      elementType: fc.constant('string' as const),
      value: fc.array(fc.string({ unit: 'binary' })),
    }),
    fc.record({ elementType: fc.constant('int32' as const), value: fc.array(fc.integer()) }),
    fc.record({ elementType: fc.constant('float64' as const), value: fc.array(fc.double({ noNaN: true })) }),
    fc.record({ elementType: fc.constant('bool' as const), value: fc.array(fc.boolean()) }),
  )
  test('any metadata and tensors survive', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.string({ maxLength: 20 }), elements, { maxKeys: 6 }),
        fc.uniqueArray(fc.string({ minLength: 1, maxLength: 20 }), { maxLength: 5 }),
        async (values, names) => {
          const metadata = Object.entries(values)
            .filter(([key]) => key !== 'general.alignment')
            .map(([key, { elementType, value }]): [string, GgufValue] => [key, array(elementType, value)])
          const path = await write(
            metadata,
            names.map((name, index) => tensor(name, [index, index])),
          )
          const read = await readGgufHeader(path)
          expect([...read.metadata]).toEqual(metadata)
          expect([...read.tensors.keys()]).toEqual(names)
        },
      ),
      { numRuns: 40 },
    )
  })

  test('version 2 and another alignment are read', async () => {
    const key = Buffer.concat([text('general.alignment'), u32(4), u32(64)])
    const head = Buffer.concat([header(1, 1, 2), key, describeTensor('t', [4], 0, 0)])
    const path = await writeBytes(Buffer.concat([head, Buffer.alloc(((64 - (head.length % 64)) % 64) + 16)]))
    const read = await readGgufHeader(path)
    expect(read).toMatchObject({ version: 2, alignment: 64 })
    expect(read.tensors.get('t')!.offset % 64).toBe(0)
  })
})

describe('refuses', () => {
  const cases: readonly [name: string, data: Buffer, message: RegExp][] = [
    ['an empty file', Buffer.alloc(0), /only 0 bytes/],
    ['another format', Buffer.from('PK\x03\x04 this is a zip'), /not a GGUF file: it starts with 0x04034b50/],
    ['version 1', header(0, 0, 1), /is GGUF version 1; this engine reads 2 and 3/],
    ['version 4', header(0, 0, 4), /version 4/],
    ['big-endian magic', Buffer.from('FUGG\x03\x00\x00\x00'), /big-endian/],
    ['big-endian version', Buffer.from('GGUF\x00\x00\x00\x03'), /big-endian/],
    ['a huge tensor count', header(2n ** 40n, 0), /announces 1099511627776 tensors, but only 8 bytes follow/],
    ['a tensor count beyond integers', header(2n ** 63n, 0), /which no file can hold/],
    ['a huge key count', header(0, 2 ** 31), /announces 2147483648 metadata keys/],
    [
      'a huge array',
      Buffer.concat([header(0, 1), text('list'), u32(9), u32(4), u64(2 ** 40)]),
      /announces 1099511627776 elements in "list"/,
    ],
    [
      'a huge text',
      Buffer.concat([header(0, 1), text('name'), u32(8), u64(2 ** 40)]),
      /gives a text in the value of "name" a length of 1099511627776/,
    ],
    [
      'a huge key',
      Buffer.concat([header(0, 1), u64(2 ** 50), Buffer.alloc(64)]),
      /metadata key 0 a length of/,
    ],
    [
      'an array of arrays',
      Buffer.concat([header(0, 1), text('deep'), u32(9), u32(9), u64(1), Buffer.alloc(16)]),
      /array of arrays under the metadata key "deep"/,
    ],
    [
      'an unknown value type',
      Buffer.concat([header(0, 1), text('key'), u32(77), Buffer.alloc(8)]),
      /unknown type 77/,
    ],
    [
      'a boolean of 2',
      Buffer.concat([header(0, 1), text('key'), u32(7), Buffer.from([2])]),
      /stores 2 for a boolean/,
    ],
    [
      'a key twice',
      Buffer.concat([header(0, 2), ...[1, 2].flatMap((value) => [text('key'), u32(4), u32(value)])]),
      /has the metadata key "key" twice/,
    ],
    [
      'an alignment of 24',
      Buffer.concat([header(0, 1), text('general.alignment'), u32(4), u32(24)]),
      /general.alignment 24; it must be a power of two/,
    ],
    ['no dimensions', fileWith(describeTensor('t', [], 0, 0)), /tensor t has 0 dimensions/],
    ['five dimensions', fileWith(describeTensor('t', [1, 1, 1, 1, 1], 0, 0)), /tensor t has 5 dimensions/],
    [
      'an extent of 0',
      fileWith(describeTensor('t', [4, 0], 0, 0)),
      /tensor t has the impossible shape \[4, 0\]/,
    ],
    ['an overflowing shape', fileWith(describeTensor('t', [2 ** 30, 2 ** 30], 0, 0)), /impossible shape/],
    [
      'an unknown element type',
      fileWith(describeTensor('t', [4], 99, 0)),
      /tensor t has the unknown element type 99/,
    ],
    ['an element type we do not read', fileWith(describeTensor('t', [256], 23, 0)), /stored as IQ4_XS/],
    [
      'rows that are no whole blocks',
      fileWith(describeTensor('t', [33], 8, 0)),
      /rows of 33 elements, but Q8_0/,
    ],
    ['a misaligned offset', fileWith(describeTensor('t', [4], 0, 4)), /tensor t starts at offset 4/],
    [
      'a tensor beyond the end',
      fileWith(describeTensor('t', [4], 0, 1 << 20)),
      /tensor t ends at byte 1048656, but the file has 320/,
    ],
    ['a tensor larger than the file', fileWith(describeTensor('t', [4096], 0, 0)), /tensor t ends at byte/],
    [
      'a tensor twice',
      fileWith(describeTensor('t', [4], 0, 0), describeTensor('t', [4], 0, 32)),
      /t is listed twice/,
    ],
    [
      'overlapping tensors',
      fileWith(describeTensor('a', [16], 0, 0), describeTensor('b', [4], 0, 32)),
      /tensor a ends at byte \d+, inside tensor b/,
    ],
  ]
  test.each(cases)('%s', async (_, data, message) => {
    const path = await writeBytes(data)
    const error = await readGgufHeader(path).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(DomainError)
    expect((error as DomainError).message).toMatch(message)
    expect((error as DomainError).message).toContain(path)
    expect((error as DomainError).hint).not.toBe('')
  })

  const metadata: [string, GgufValue][] = [
    ['general.architecture', { type: 'string', value: 'llama' }],
    ['llama.block_count', { type: 'uint32', value: 2 }],
    ['tokens', array('string', ['a', 'bc', 'def'])],
  ]
  const tensors = [tensor('one', [1, 2, 3, 4]), tensor('two', [5, 6, 7, 8], [2, 2])]

  test('a file cut anywhere', async () => {
    const whole = await readFile(await write(metadata, tensors))
    for (let length = 0; length < whole.length - 16; length += 1) {
      const path = await writeBytes(whole.subarray(0, length))
      await expect(readGgufHeader(path), `cut to ${length} of ${whole.length}`).rejects.toBeInstanceOf(
        DomainError,
      )
      await rm(path)
    }
  })

  test('or reads bytes flipped at random, and never throws anything else', async () => {
    const whole = await readFile(await write(metadata, tensors))
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 })), {
          minLength: 1,
          maxLength: 4,
        }),
        async (flips) => {
          const damaged = Buffer.from(whole)
          for (const [at, mask] of flips) damaged[at] = damaged[at]! ^ mask
          const path = await writeBytes(damaged)
          const outcome = await readGgufHeader(path).catch((error: Error) => error)
          await rm(path)
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
})

describe('writer', () => {
  test('refuses data of another length than the shape says, and leaves nothing', async () => {
    const path = newPath()
    const broken = { ...tensor('t', [1, 2, 3, 4]), type: 'F16' as TensorType }
    await expect(writeGguf({ path, metadata: [], tensors: [broken] })).rejects.toThrow(
      /yielded 16 bytes instead of 8/,
    )
    await expect(readFile(path)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('says so where the folder cannot be made', async () => {
    const file = await writeBytes(Buffer.from('a file, not a folder'))
    const writing = writeGguf({ path: join(file, 'inside.gguf'), metadata: [], tensors: [] })
    await expect(writing).rejects.toMatchObject({ code: 'MODEL_WRITE_FAILED' })
  })
})
