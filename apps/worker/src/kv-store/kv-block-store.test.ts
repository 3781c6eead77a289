import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { BLOCK_HEADER_BYTES, type BlockFiles, DiskBlockFiles } from './block-files.ts'
import { KvBlockStore, KvStoreError } from './kv-block-store.ts'

const root = mkdtempSync(join(tmpdir(), 'deos-kv-store-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const folder = () => mkdtempSync(join(root, 'blocks-'))

/** What a key's block holds, whoever makes it. */
const contents = (key: string, size: number) =>
  Uint8Array.from({ length: size }, (_, index) => (key.charCodeAt(key.length - 1) * 31 + index * 7) & 0xff)

/** Files in memory that are slow, and fail when told to. */
class ScriptedFiles implements BlockFiles {
  readonly files = new Map<string, { bytes: Uint8Array; recomputeMs: number }>()
  failing = false
  mostBytes = 0

  async list() {
    return [...this.files].map(([key, { bytes, recomputeMs }]) => ({
      key,
      sizeBytes: bytes.length,
      recomputeMs,
    }))
  }

  async write(key: string, bytes: Uint8Array, recomputeMs: number) {
    await Promise.resolve()
    if (this.failing) throw new Error('The disk is full.')
    this.files.set(key, { bytes: bytes.slice(), recomputeMs })
    let total = 0
    for (const file of this.files.values()) total += file.bytes.length + BLOCK_HEADER_BYTES
    this.mostBytes = Math.max(this.mostBytes, total)
  }

  async read(key: string) {
    await Promise.resolve()
    return this.failing ? null : (this.files.get(key)?.bytes.slice() ?? null)
  }

  async remove(key: string) {
    await Promise.resolve()
    this.files.delete(key)
  }
}

const keys = Array.from({ length: 12 }, (_, index) => `block-${'abcdefghijkl'[index]}`)
/** Sizes go with keys, as they do where keys say what blocks hold. */
const sizeOf = (key: string) => 20 + (key.charCodeAt(key.length - 1) % 5) * 15

type Action =
  | { readonly do: 'put'; readonly key: string; readonly recomputeMs: number }
  | { readonly do: 'get' | 'pin' | 'unpin' | 'wait'; readonly key: string }
const key = fc.constantFrom(...keys)
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('put' as const),
      key,
      recomputeMs: fc.integer({ min: 0, max: 90 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('get' as const), key }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('pin' as const, 'unpin', 'wait', 'wait'), key }) },
)

/** Long ones: full stores are what matters. */
const actions = fc.array(action, { maxLength: 120, size: 'max' })

async function follow(actions: readonly Action[], memoryBytes: number, diskBytes: number | null) {
  const files = new ScriptedFiles()
  const disk = diskBytes === null ? null : { files, sizeBytes: diskBytes }
  const store = await KvBlockStore.open({ memoryBytes, disk })
  const pins = new Map<string, (() => void)[]>()
  const reads: Promise<void>[] = []
  for (const each of actions) {
    if (each.do === 'put') {
      const given = Buffer.from(contents(each.key, sizeOf(each.key)))
      expect(store.put(each.key, given, each.recomputeMs)).toBe(store.has(each.key))
      given.fill(0) // the caller may go on to use it
    } else if (each.do === 'get') {
      const known = store.has(each.key)
      reads.push(
        store.get(each.key).then((bytes) => {
          if (bytes === null) return
          expect(known, 'what was not there cannot be read').toBe(true)
          expect(bytes).toEqual(contents(each.key, sizeOf(each.key)))
          bytes.fill(1)
        }),
      )
    } else if (each.do === 'pin') {
      const release = store.pin(each.key)
      expect(release !== null).toBe(store.has(each.key))
      if (release) pins.set(each.key, [...(pins.get(each.key) ?? []), release])
    } else if (each.do === 'unpin') {
      const release = pins.get(each.key)?.pop()
      release?.()
      release?.() // only once
    } else await new Promise((resolve) => setImmediate(resolve))
    for (const [pinned, held] of pins) {
      if (held.length > 0) expect(store.has(pinned), `${pinned} is pinned`).toBe(true)
    }
    expect(store.usage.memoryBytes).toBeLessThanOrEqual(memoryBytes)
    expect(store.usage.diskBytes).toBeLessThanOrEqual(diskBytes ?? 0)
  }
  await Promise.all(reads)
  await store.settled()
  return { store, files, pins }
}

describe('whatever is put, read and pinned', () => {
  test('in memory: no more than its budget, nothing pinned goes, nothing wrong is read', async () => {
    await fc.assert(
      fc.asyncProperty(actions, fc.integer({ min: 0, max: 400 }), async (drawn, memory) => {
        await follow(drawn, memory, null)
      }),
      { numRuns: 300 },
    )
  })

  test('with a disk: the same for both, and files are those that are counted', async () => {
    await fc.assert(
      fc.asyncProperty(
        actions,
        fc.integer({ min: 0, max: 1_000 }),
        fc.integer({ min: 0, max: 700 }),
        async (drawn, memory, diskBytes) => {
          const { store, files, pins } = await follow(drawn, memory, diskBytes)
          expect(files.mostBytes).toBeLessThanOrEqual(diskBytes)
          let total = 0
          for (const { bytes } of files.files.values()) total += bytes.length + BLOCK_HEADER_BYTES
          expect(store.usage.diskBytes).toBe(total)
          for (const name of files.files.keys()) expect(store.has(name), `${name} is left over`).toBe(true)
          for (const [pinned, held] of pins) {
            if (held.length > 0) expect(await store.get(pinned)).toEqual(contents(pinned, sizeOf(pinned)))
          }
          expect(store.counters.damaged).toBe(0)
        },
      ),
      { numRuns: 300 },
    )
  })
})

test('keeps what saves most time per byte and use', async () => {
  const store = await KvBlockStore.open({ memoryBytes: 300, disk: null })
  store.put('cheap', contents('cheap', 100), 1)
  store.put('costly', contents('costly', 100), 50)
  store.put('used', contents('used', 100), 2)
  for (let use = 0; use < 9; use += 1) await store.get('used')
  expect(store.put('next', contents('next', 100), 10)).toBe(true)
  expect(['cheap', 'costly', 'used', 'next'].map((each) => store.has(each))).toEqual([
    false,
    true,
    true,
    true,
  ])
  expect(store.put('worthless', contents('worthless', 100), 0)).toBe(false)
  expect(store.counters).toMatchObject({ memoryHits: 9, misses: 0, evicted: 1, refused: 1 })
})

test('blocks that leave memory at once take the places of less worthy ones on disk', async () => {
  const files = new ScriptedFiles()
  const disk = { files, sizeBytes: 4 * (100 + BLOCK_HEADER_BYTES) }
  const store = await KvBlockStore.open({ memoryBytes: 3_200, disk }) // 28 blocks, and 4 on their way to disk
  for (let round = 1; round <= 3; round += 1) {
    for (let index = 0; index < 32; index += 1) store.put(`${round}-${index}`, contents('n', 100), round)
    await store.settled()
    expect(files.files.size).toBe(4)
  }
  expect([...files.files.values()].every(({ recomputeMs }) => recomputeMs >= 2)).toBe(true)
})

test('what was worth much and is not used any more goes in the end', async () => {
  const store = await KvBlockStore.open({ memoryBytes: 300, disk: null })
  store.put('once', contents('once', 100), 50)
  for (let index = 0; index < 200; index += 1) store.put(`new-${index}`, contents('n', 100), 1 + (index % 3))
  expect(store.has('once')).toBe(false)
})

test('of the blocks of one prompt the last positions go first', async () => {
  const store = await KvBlockStore.open({ memoryBytes: 400, disk: null })
  for (let index = 0; index < 4; index += 1) store.put(`prompt-${index}`, contents('p', 100), 5)
  store.put('other', contents('o', 100), 6)
  expect([0, 1, 2, 3].map((index) => store.has(`prompt-${index}`))).toEqual([true, true, true, false])
})

describe('on a real disk', () => {
  const open = async (path: string, sizeBytes = 10_000) =>
    KvBlockStore.open({ memoryBytes: 900, disk: { files: await DiskBlockFiles.open(path), sizeBytes } })

  async function filled(path: string) {
    const store = await open(path)
    for (const name of keys) {
      store.put(name, contents(name, 100), 5)
      await store.settled()
    }
    return store
  }

  test('blocks outlive the process', async () => {
    const path = folder()
    await filled(path)
    writeFileSync(join(path, 'block-z.part'), 'half')
    writeFileSync(join(path, 'block-y'), 'no block')
    const store = await open(path)
    const found = keys.filter((name) => store.has(name))
    expect(found.length).toBeGreaterThanOrEqual(4)
    for (const name of found) expect(await store.get(name)).toEqual(contents(name, 100))
    expect(store.counters.diskHits).toBeGreaterThanOrEqual(4)
    expect(readdirSync(path).sort()).toEqual(found)
  })

  test('more than the budget that an earlier process left is removed', async () => {
    const path = folder()
    await filled(path)
    const store = await open(path, 320)
    expect(store.usage.diskBytes).toBe(2 * (100 + BLOCK_HEADER_BYTES))
    expect(readdirSync(path)).toHaveLength(2)
  })

  test.each<[string, (path: string) => void]>([
    [
      'a flipped bit',
      (path) => {
        const bytes = readFileSync(path)
        bytes[BLOCK_HEADER_BYTES + 50]! ^= 4
        writeFileSync(path, bytes)
      },
    ],
    ['a lost end', (path) => truncateSync(path, statSync(path).size - 1)],
    ['nothing left', (path) => truncateSync(path, 0)],
    ['no file', (path) => rmSync(path)],
  ])('%s is a miss, and the block can be kept anew', async (_, damage) => {
    const path = folder()
    const store = await filled(path)
    const [name, onDisk] = readdirSync(path)
    damage(join(path, name!))
    expect(await store.get(name!)).toBeNull()
    expect(store.has(name!)).toBe(false)
    expect(store.counters.damaged).toBe(1)
    await store.settled()
    expect(await store.get(onDisk!)).toEqual(contents(onDisk!, 100))
    expect(store.put(name!, contents(name!, 100), 5)).toBe(true)
    expect(await store.get(name!)).toEqual(contents(name!, 100))
  })
})

test('a disk that fails costs blocks and nothing else', async () => {
  const files = new ScriptedFiles()
  const store = await KvBlockStore.open({ memoryBytes: 160, disk: { files, sizeBytes: 10_000 } })
  files.failing = true
  for (const name of keys) {
    store.put(name, contents(name, 20), 5)
    await store.settled()
  }
  expect(store.usage).toMatchObject({ diskBytes: 0 })
  expect(store.counters.damaged).toBeGreaterThan(0)
  files.failing = false
  expect(store.put('late', contents('late', 20), 90)).toBe(true)
  expect(await store.get('late')).toEqual(contents('late', 20))
})

test.each([-1, 0.5, Number.NaN])('budgets of %d bytes are refused', async (memoryBytes) => {
  await expect(KvBlockStore.open({ memoryBytes, disk: null })).rejects.toThrow(KvStoreError)
})

test('blocks without bytes or time are refused', async () => {
  const store = await KvBlockStore.open({ memoryBytes: 100, disk: null })
  expect(() => store.put('a', new Uint8Array(), 1)).toThrow(KvStoreError)
  expect(() => store.put('a', new Uint8Array(1), Number.NaN)).toThrow(KvStoreError)
  expect(() => store.put('a', new Uint8Array(1), -1)).toThrow(KvStoreError)
})
