import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'tsdown'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { GrammarBusyError, GrammarError, GrammarLimitError, GrammarThreadError } from './errors.ts'
import { GrammarHost, type GrammarHostOptions } from './host.ts'
import { isAllowed, smallVocabulary } from './testing/walks.ts'

const { vocabulary, stop } = smallVocabulary()
const ab = JSON.stringify({ type: 'regex', pattern: 'a+b' })
const [a, b, c] = [97, 98, 99]

let folder: string
let threadEntry: string
const hosts: GrammarHost[] = []

async function buildThread(name: string, source: string): Promise<string> {
  await writeFile(join(folder, `${name}.ts`), source)
  await build({
    entry: { [name]: join(folder, `${name}.ts`) },
    outDir: folder,
    format: 'esm',
    platform: 'node',
    dts: false,
    clean: false,
    config: false,
    logLevel: 'silent',
    noExternal: [/./],
  })
  return join(folder, `${name}.mjs`)
}

const module = (name: string) => JSON.stringify(fileURLToPath(new URL(name, import.meta.url)))

// Node runs no TypeScript, so the thread is built as the product builds it.
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'deos-grammar-thread-'))
  threadEntry = await buildThread(
    'thread',
    `import { serveGrammars } from ${module('./thread.ts')}\nserveGrammars()`,
  )
})
afterAll(() => rm(folder, { recursive: true }))
afterEach(async () => {
  for (const host of hosts.splice(0)) await host.stop()
})

function createHost(options: Partial<GrammarHostOptions> = {}): GrammarHost {
  const host = new GrammarHost(vocabulary, { threadEntry, ...options })
  hosts.push(host)
  return host
}

const allowed = (mask: Uint32Array) => [a, b, c, stop].filter((token) => isAllowed(mask, token))

describe.each([
  ['on a thread', () => createHost()],
  ['on the caller’s thread', () => createHost({ threadEntry: null })],
])('%s', (_name, create) => {
  test('masks follow what was accepted', async () => {
    const host = create()
    await host.prepare(ab, 64)
    await host.open(1, ab, new Int32Array(), 10)
    await host.open(2, ab, Int32Array.of(a), 10)
    expect(allowed(await host.mask(1))).toEqual([a])
    expect(allowed(await host.mask(2))).toEqual([a, b])
    host.accept(1, a)
    host.accept(1, b)
    const [first, second] = await Promise.all([host.mask(1), host.mask(2)])
    expect(allowed(first)).toEqual([stop])
    expect(allowed(second)).toEqual([a, b])
    host.accept(1, stop)
    expect(allowed(await host.mask(1))).toEqual([stop])
    host.close(1)
    host.close(1)
    await expect(host.mask(1)).rejects.toThrow('No grammar session 1')
    await host.open(1, ab, new Int32Array(), 10)
    expect(allowed(await host.mask(1))).toEqual([a])
  })

  test('errors keep their kind and say what is wrong', async () => {
    const host = create()
    const wrong = { type: 'json_schema', schema: { items: { not: {} } } }
    await expect(host.prepare(JSON.stringify(wrong), 64)).rejects.toMatchObject({
      name: 'GrammarError',
      code: 'GRAMMAR_INVALID',
      retriable: false,
      path: '/schema/items/not',
      hint: expect.stringContaining('enum'),
    })
    await expect(host.prepare('{', 64)).rejects.toThrow(GrammarError)
    const five = JSON.stringify({ type: 'regex', pattern: '\\d{5}' })
    await expect(host.open(1, five, new Int32Array(), 4)).rejects.toThrow(GrammarLimitError)
    await host.open(1, five, new Int32Array(), 5)
    await expect(host.open(1, five, new Int32Array(), 5)).rejects.toThrow('open already')
  })

  test('a token the grammar does not allow fails the next mask of that answer alone', async () => {
    const host = create()
    await host.open(1, ab, new Int32Array(), 10)
    await host.open(2, ab, new Int32Array(), 10)
    host.accept(1, c)
    await expect(host.mask(1)).rejects.toThrow(GrammarError)
    expect(allowed(await host.mask(2))).toEqual([a])
  })

  test('a limit below the shortest text is refused with what it takes', async () => {
    const host = create()
    const long = JSON.stringify({ type: 'regex', pattern: 'a{20}' })
    await expect(host.prepare(long, 3)).rejects.toThrow(GrammarLimitError)
    await host.prepare(long, 64)
  })

  test('stopping fails what comes', async () => {
    const host = create()
    await host.stop()
    await expect(host.prepare(ab, 64)).rejects.toThrow(GrammarThreadError)
  })
})

test('too many waiting grammars are refused with an error that may be retried', async () => {
  const host = createHost({ capacity: 2 })
  const taken = [host.prepare(ab, 64), host.prepare(ab, 64)]
  await expect(host.prepare(ab, 64)).rejects.toThrow(GrammarBusyError)
  await Promise.all(taken)
  await host.prepare(ab, 64)
})

test('stopping fails what waits', async () => {
  const host = createHost()
  const outcome = Promise.allSettled([host.prepare(ab, 64), host.open(1, ab, new Int32Array(), 10)])
  await host.stop()
  for (const result of await outcome)
    expect(result).toMatchObject({ status: 'rejected', reason: expect.any(GrammarThreadError) })
})

describe('when the thread fails', () => {
  test('sessions go on where they were, on a fresh one', async () => {
    const fragile = await buildThread(
      'fragile',
      `import { parentPort } from 'node:worker_threads'
       import { serveGrammars } from ${module('./thread.ts')}
       parentPort!.on('message', ({ specText }) => { if (specText === 'crash') process.exit(3) })
       serveGrammars()`,
    )
    const host = createHost({ threadEntry: fragile })
    await host.open(1, ab, new Int32Array(), 10)
    host.accept(1, a)
    await host.mask(1)
    await expect(host.prepare('crash', 64)).rejects.toMatchObject({
      code: 'GRAMMAR_THREAD_FAILED',
      retriable: true,
    })
    host.accept(1, a)
    expect(allowed(await host.mask(1))).toEqual([a, b])
    host.accept(1, b)
    expect(allowed(await host.mask(1))).toEqual([stop])
    const [crash, masked] = await Promise.allSettled([host.prepare('crash', 64), host.mask(1)])
    expect(String((crash as PromiseRejectedResult).reason)).toContain('ended with code 3')
    expect(allowed((masked as PromiseFulfilledResult<Uint32Array>).value)).toEqual([stop])
  })

  test.each(['/does/not/exist.mjs', 'relative.mjs'])(
    'an entry that cannot start (%s) fails the call',
    async (entry) => {
      const host = createHost({ threadEntry: entry })
      await expect(host.prepare(ab, 64)).rejects.toThrow(GrammarThreadError)
      await expect(host.open(1, ab, new Int32Array(), 10)).rejects.toThrow(GrammarThreadError)
      await expect(host.mask(1)).rejects.toThrow('No grammar session')
    },
  )
})
