import { createHash } from 'node:crypto'
import {
  appendFile,
  link,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BlobPieces, BlobPiecesError, type ByteRange, piecesOver } from './blob-pieces.ts'
import { BlobFetchError, type BlobSource } from './blob-source.ts'
import { cutBlob } from './cut-blob.ts'
import { PieceStore } from './piece-store.ts'
import { BlobMissingError } from './stored-blob.ts'

let root: string
let counter = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'deos-blobs-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

const newPath = () => join(root, String(counter++))
const sha = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

const bytesOf = (size: number, seed = 1) =>
  Buffer.from(Uint8Array.from({ length: size }, (_, index) => (index * 31 + seed * 7 + (index >> 8)) & 255))

function cut(bytes: Uint8Array, pieceBytes: number): BlobPieces {
  const pieces = []
  for (let at = 0; at < bytes.length; at += pieceBytes) pieces.push(sha(bytes.subarray(at, at + pieceBytes)))
  return { digest: sha(bytes), sizeBytes: bytes.length, pieceBytes, pieces }
}

type Behaviour = 'honest' | 'lies' | 'fails' | 'breaks off' | 'sends more'

class FakeSource implements BlobSource {
  readonly asked: ByteRange[] = []

  constructor(
    readonly name: string,
    private readonly bytes: Buffer,
    private readonly behaviour: (range: ByteRange) => Behaviour = () => 'honest',
  ) {}

  async read(_digest: string, range: ByteRange): Promise<AsyncIterable<Uint8Array>> {
    this.asked.push(range)
    const right = this.bytes.subarray(range.first, range.end)
    const behaviour = this.behaviour(range)
    if (behaviour === 'fails') throw new Error('connection refused')
    return (async function* () {
      yield right.subarray(0, right.length >> 1)
      if (behaviour === 'breaks off') throw new Error('connection reset')
      const rest = Buffer.from(right.subarray(right.length >> 1))
      if (behaviour === 'lies') rest[rest.length - 1]! ^= 1
      yield rest
      if (behaviour === 'sends more') yield Buffer.from([1])
    })()
  }
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return Buffer.concat(parts)
}

const whole = ({ sizeBytes }: BlobPieces): ByteRange => ({ first: 0, end: sizeBytes })

/** The three files of the only blob. */
async function filesOf(folder: string): Promise<{ data: string; have: string }> {
  const names = await readdir(join(folder, 'blobs'), { recursive: true })
  const have = names.find((name) => name.endsWith('.have'))!
  return { have: join(folder, 'blobs', have), data: join(folder, 'blobs', have.slice(0, -'.have'.length)) }
}

describe('a blob in part', () => {
  test('holds the pieces over the ranges and no others', async () => {
    const bytes = bytesOf(1000)
    const blob = cut(bytes, 64)
    const store = await PieceStore.open(newPath())
    const source = new FakeSource('a', bytes)
    await store.ensure(
      blob,
      [
        { first: 100, end: 130 },
        { first: 990, end: 1000 },
      ],
      [source],
    )
    expect(source.asked.map(({ first }) => first).sort((a, b) => a - b)).toEqual([64, 128, 960])
    expect(await store.has(blob.digest, { first: 64, end: 192 })).toBe(true)
    expect(await store.has(blob.digest, { first: 63, end: 64 })).toBe(false)
    expect(await store.has(blob.digest, { first: 0, end: 0 })).toBe(true)
    expect(await collect(store.read(blob.digest, { first: 70, end: 190 }))).toEqual(bytes.subarray(70, 190))
    await expect(collect(store.read(blob.digest, { first: 70, end: 193 }))).rejects.toThrow(BlobMissingError)
    await expect(store.has(blob.digest, { first: 0, end: 1001 })).rejects.toThrow(RangeError)
    const { size } = await stat(await store.pathOf(blob.digest))
    expect(size).toBe(1000)
    await store.ensure(blob, [whole(blob)], [source])
    expect(source.asked).toHaveLength(16)
    expect(await readFile(await store.pathOf(blob.digest))).toEqual(bytes)
  })

  test('of no bytes is there at once', async () => {
    const blob = cut(Buffer.alloc(0), 64)
    const store = await PieceStore.open(newPath())
    await store.ensure(blob, [whole(blob)], [])
    expect(await collect(store.read(blob.digest, whole(blob)))).toHaveLength(0)
  })

  test('unknown ones are not there', async () => {
    const store = await PieceStore.open(newPath())
    const digest = sha(Buffer.from('x'))
    expect(await store.has(digest, { first: 0, end: 1 })).toBe(false)
    await expect(store.pathOf(digest)).rejects.toThrow(BlobMissingError)
    await store.remove(digest)
    await expect(store.has('sha256:../../etc/passwd', { first: 0, end: 1 })).rejects.toThrow(BlobPiecesError)
  })

  test.each<[string, (blob: BlobPieces) => BlobPieces]>([
    ['too few pieces', (blob) => ({ ...blob, pieces: blob.pieces.slice(1) })],
    ['no digest', (blob) => ({ ...blob, digest: '../x' })],
    ['a piece without digest', (blob) => ({ ...blob, pieces: ['x', ...blob.pieces.slice(1)] })],
    ['half a byte', (blob) => ({ ...blob, sizeBytes: 99.5 })],
    ['endless pieces', (blob) => ({ ...blob, pieceBytes: 2 ** 40, pieces: blob.pieces.slice(0, 1) })],
  ])('a list with %s is refused', async (_, change) => {
    const store = await PieceStore.open(newPath())
    const blob = change(cut(bytesOf(100), 64))
    await expect(store.ensure(blob, [], [])).rejects.toThrow(BlobPiecesError)
  })

  test('what another process adds is seen, however many look at once', async () => {
    const folder = newPath()
    const [one, other] = [await PieceStore.open(folder), await PieceStore.open(folder)]
    const bytes = bytesOf(64)
    const blob = cut(bytes, 4)
    const rangeOf = (index: number): ByteRange => ({ first: 4 * index, end: 4 * index + 4 })
    await one.ensure(blob, [rangeOf(0)], [new FakeSource('a', bytes)])
    expect(await other.has(blob.digest, rangeOf(0))).toBe(true)
    for (let index = 1; index + 3 < blob.pieces.length; index += 3) {
      await one.ensure(blob, [rangeOf(index), rangeOf(index + 1)], [new FakeSource('a', bytes)])
      await Promise.all(Array.from({ length: 8 }, () => other.has(blob.digest, rangeOf(index + 2))))
      await one.ensure(blob, [rangeOf(index + 2)], [new FakeSource('a', bytes)])
      expect(await other.has(blob.digest, rangeOf(index + 2)), `piece ${index + 2}`).toBe(true)
    }
  })

  test('is shared by two stores in one folder', async () => {
    const folder = newPath()
    const bytes = bytesOf(640)
    const blob = cut(bytes, 64)
    const [one, other] = [await PieceStore.open(folder), await PieceStore.open(folder)]
    const sources = [new FakeSource('a', bytes), new FakeSource('b', bytes)]
    await Promise.all([
      one.ensure(blob, [{ first: 0, end: 320 }], [sources[0]!]),
      other.ensure(blob, [{ first: 320, end: 640 }], [sources[1]!]),
    ])
    for (const store of [one, other]) {
      expect(await collect(store.read(blob.digest, whole(blob)))).toEqual(bytes)
    }
  })

  test('one that is asked for twice at once is fetched once', async () => {
    const bytes = bytesOf(640)
    const blob = cut(bytes, 64)
    const store = await PieceStore.open(newPath())
    const source = new FakeSource('a', bytes)
    await Promise.all([1, 2, 3].map(() => store.ensure(blob, [whole(blob)], [source])))
    expect(source.asked).toHaveLength(10)
  })

  test('what was removed and made again begins empty', async () => {
    const folder = newPath()
    const bytes = bytesOf(640)
    const blob = cut(bytes, 64)
    const [one, other] = [await PieceStore.open(folder), await PieceStore.open(folder)]
    await one.ensure(blob, [whole(blob)], [new FakeSource('a', bytes)])
    expect(await other.has(blob.digest, whole(blob))).toBe(true)
    await one.remove(blob.digest)
    await one.ensure(blob, [{ first: 0, end: 1 }], [new FakeSource('a', bytes)])
    for (const store of [one, other]) {
      expect(await store.has(blob.digest, { first: 0, end: 64 })).toBe(true)
      expect(await store.has(blob.digest, { first: 64, end: 65 })).toBe(false)
    }
  })
})

describe('sources', () => {
  const bytes = bytesOf(64 * 20)
  const blob = cut(bytes, 64)

  test('one that lies is not asked again', async () => {
    const liar = new FakeSource('liar', bytes, () => 'lies')
    const honest = new FakeSource('honest', bytes)
    const store = await PieceStore.open(newPath())
    await store.ensure(blob, [whole(blob)], [liar, honest], { parallel: 1 })
    expect(liar.asked).toHaveLength(1)
    expect(honest.asked).toHaveLength(20)
    expect(await collect(store.read(blob.digest, whole(blob)))).toEqual(bytes)
  })

  test('one that fails is asked again for the next piece', async () => {
    const weak = new FakeSource('weak', bytes, ({ first }) => (first === 0 ? 'fails' : 'honest'))
    const honest = new FakeSource('honest', bytes)
    const store = await PieceStore.open(newPath())
    await store.ensure(blob, [whole(blob)], [weak, honest], { parallel: 1 })
    expect(weak.asked).toHaveLength(20)
    expect(honest.asked).toHaveLength(1)
  })

  test('a silent one is given up', async () => {
    const silent: BlobSource = {
      name: 'silent',
      read: async () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) }),
    }
    const store = await PieceStore.open(newPath())
    const sources = [silent, new FakeSource('honest', bytes)]
    await store.ensure(blob, [{ first: 0, end: 64 }], sources, { idleMs: 20 })
    expect(await store.has(blob.digest, { first: 0, end: 64 })).toBe(true)
  })

  test('if none has the right bytes, the error says what each did', async () => {
    const store = await PieceStore.open(newPath())
    const sources = [
      new FakeSource('a', bytes, () => 'lies'),
      new FakeSource('b', bytes, () => 'breaks off'),
      new FakeSource('c', bytes, () => 'sends more'),
    ]
    const failing = store.ensure(blob, [{ first: 0, end: 64 }], sources)
    await expect(failing).rejects.toThrow(BlobFetchError)
    await expect(failing).rejects.toThrow(/a: it sent wrong bytes; b: connection reset; c: it sent more/)
    expect(await store.has(blob.digest, { first: 0, end: 1 })).toBe(false)
    await expect(store.ensure(blob, [whole(blob)], [])).rejects.toThrow(/nobody/)
  })

  test('an abort keeps what came before', async () => {
    const store = await PieceStore.open(newPath())
    const stop = new AbortController()
    const source = new FakeSource('a', bytes)
    const onPiece = ({ index }: { index: number }) => {
      if (index === 5) stop.abort(new Error('enough'))
    }
    const options = { parallel: 1, signal: stop.signal, onPiece }
    await expect(store.ensure(blob, [whole(blob)], [source], options)).rejects.toThrow('enough')
    expect(await store.has(blob.digest, { first: 0, end: 6 * 64 })).toBe(true)
    expect(await store.has(blob.digest, { first: 0, end: 7 * 64 })).toBe(false)
  })

  test('whatever sources do, only right bytes are ever there', async () => {
    const behaviours = fc.constantFrom<Behaviour>('honest', 'lies', 'fails', 'breaks off', 'sends more')
    const range = fc.tuple(fc.nat(bytes.length), fc.nat(bytes.length)).map(([a, b]) => ({
      first: Math.min(a, b),
      end: Math.max(a, b),
    }))
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(behaviours, { minLength: 20, maxLength: 20 }), { maxLength: 3 }),
        fc.array(range, { maxLength: 3 }),
        async (plans, ranges) => {
          const store = await PieceStore.open(newPath())
          const sources = plans.map(
            (plan, index) => new FakeSource(String(index), bytes, ({ first }) => plan[first / 64]!),
          )
          const done = await store.ensure(blob, ranges, sources).then(
            () => true,
            (error: unknown) => {
              expect(error).toBeInstanceOf(BlobFetchError)
              return false
            },
          )
          const stored = await store.pieces(blob.digest)
          if (stored === null) return
          for (const index of blob.pieces.keys()) {
            const piece = { first: index * 64, end: (index + 1) * 64 }
            const there = await store.has(blob.digest, piece)
            if (done && piecesOver(blob, ranges).includes(index)) expect(there).toBe(true)
            if (!there) continue
            expect(await collect(store.read(blob.digest, piece))).toEqual(
              bytes.subarray(piece.first, piece.end),
            )
          }
        },
      ),
      { numRuns: 40 },
    )
  })
})

describe('after a crash', () => {
  const bytes = bytesOf(64 * 12)
  const blob = cut(bytes, 64)

  async function half(): Promise<{ folder: string; data: string; have: string }> {
    const folder = newPath()
    const store = await PieceStore.open(folder)
    await store.ensure(blob, [{ first: 0, end: 6 * 64 }], [new FakeSource('a', bytes)])
    return { folder, ...(await filesOf(folder)) }
  }

  const present = async (store: PieceStore) => {
    const there = []
    for (const index of blob.pieces.keys()) {
      if (await store.has(blob.digest, { first: index * 64, end: (index + 1) * 64 })) there.push(index)
    }
    return there
  }

  test('a record that is torn anywhere loses pieces and gains none, and can be written on', async () => {
    const { folder, have } = await half()
    const record = await readFile(have)
    await fc.assert(
      fc.asyncProperty(fc.nat(record.length), fc.uint8Array({ maxLength: 40 }), async (length, garbage) => {
        await writeFile(have, record.subarray(0, length))
        await appendFile(have, garbage)
        const store = await PieceStore.open(folder)
        const before = await present(store)
        expect(before.every((index) => index < 6)).toBe(true)
        const source = new FakeSource('a', bytes)
        await store.ensure(blob, [{ first: 0, end: 8 * 64 }], [source])
        expect(source.asked).toHaveLength(8 - before.length)
        const again = await PieceStore.open(folder)
        expect(await present(again)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
      }),
      { numRuns: 60 },
    )
  })

  test('lines of another blob or incarnation do not count', async () => {
    const { folder, have } = await half()
    const other = await half()
    await writeFile(have, await readFile(other.have))
    expect(await present(await PieceStore.open(folder))).toEqual([])
  })

  test('a file that lost its size is begun anew', async () => {
    const { folder, data } = await half()
    await truncate(data, 100)
    const store = await PieceStore.open(folder)
    expect(await present(store)).toEqual([])
    await store.ensure(blob, [whole(blob)], [new FakeSource('a', bytes)])
    expect(await collect(store.read(blob.digest, whole(blob)))).toEqual(bytes)
  })

  test('a list of pieces that is damaged makes the blob begin anew', async () => {
    const { folder, data } = await half()
    await writeFile(`${data}.cut`, Buffer.alloc(50))
    const store = await PieceStore.open(folder)
    expect(await store.pieces(blob.digest)).toBeNull()
    await store.ensure(blob, [{ first: 0, end: 1 }], [new FakeSource('a', bytes)])
    expect(await present(store)).toEqual([0])
  })

  test('a blob that is cut differently now is fetched again', async () => {
    const { folder } = await half()
    const store = await PieceStore.open(folder)
    const source = new FakeSource('a', bytes)
    const finer = cut(bytes, 32)
    await store.ensure(finer, [whole(finer)], [source])
    expect(source.asked).toHaveLength(24)
  })

  test('a record with thousands of lines is read in turns', async () => {
    const many = bytesOf(9000)
    const fine = cut(many, 1)
    const folder = newPath()
    const path = newPath()
    await writeFile(path, many)
    const store = await PieceStore.open(folder)
    await store.adopt(path, { pieceBytes: 1 })
    expect(await (await PieceStore.open(folder)).has(fine.digest, whole(fine))).toBe(true)
  })
})

describe('room', () => {
  test('complete files are taken over, also where a part is there', async () => {
    const bytes = bytesOf(5000)
    const path = newPath()
    await writeFile(path, bytes)
    const store = await PieceStore.open(newPath())
    const blob = await store.adopt(path, { pieceBytes: 1024 })
    expect(blob).toEqual(cut(bytes, 1024))
    expect((await stat(await store.pathOf(blob.digest))).ino).toBe((await stat(path)).ino)
    const other = await PieceStore.open(newPath())
    await other.ensure(blob, [{ first: 0, end: 1 }], [new FakeSource('a', bytes)])
    const before = await other.pathOf(blob.digest)
    await other.adopt(path, { pieceBytes: 1024 })
    expect(await other.pathOf(blob.digest)).toBe(before)
    expect(await readFile(before)).toEqual(bytes)
  })

  test('the least recently used blobs go first, never those in use', async () => {
    let nowMs = Date.now()
    const folder = newPath()
    const store = await PieceStore.open(folder, { now: () => nowMs })
    const blobs = []
    for (const seed of [1, 2, 3, 4]) {
      const bytes = bytesOf(65536, seed)
      const blob = cut(bytes, 65536)
      await store.ensure(blob, [whole(blob)], [new FakeSource('a', bytes)])
      // The record's own time is that of the disk.
      await utimes(`${await store.pathOf(blob.digest)}.have`, nowMs / 1000, nowMs / 1000)
      blobs.push(blob.digest)
      nowMs += 1000
    }
    expect(await store.usedBytes()).toBeGreaterThanOrEqual(4 * 65536)
    expect(await store.evict(0)).toEqual([])
    nowMs += 120_000
    await link(await store.pathOf(blobs[0]!), newPath())
    await collect(store.read(blobs[1]!, { first: 0, end: 1 }))
    const used = await store.usedBytes()
    expect(await store.evict(used - 1)).toEqual([blobs[2]])
    await store.hold(blobs[3]!, async () => expect(await store.evict(0)).toEqual([]))
    expect(await store.evict(0)).toEqual([blobs[3]])
    nowMs += 120_000
    expect(await store.evict(0)).toEqual([blobs[1]])
    expect(await store.has(blobs[0]!, { first: 0, end: 1 })).toBe(true)
  })
})

describe('cutBlob', () => {
  test('gives the digests of the whole and of each piece, with progress', async () => {
    const bytes = bytesOf(1_500_000)
    const path = newPath()
    await writeFile(path, bytes)
    const seen: number[] = []
    const blob = await cutBlob(path, {
      pieceBytes: 700_001,
      onProgress: ({ doneBytes }) => seen.push(doneBytes),
    })
    expect(blob).toEqual(cut(bytes, 700_001))
    expect(seen.at(-1)).toBe(bytes.length)
  })

  test('stops when aborted, and says what cannot be read', async () => {
    const path = newPath()
    await (await open(path, 'w')).close()
    await expect(cutBlob(path, { signal: AbortSignal.abort(new Error('stop')) })).rejects.toThrow('stop')
    await expect(cutBlob(newPath())).rejects.toThrow(/ENOENT/)
  })
})
