import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'tsdown'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { TextTooLongError, TokenizerBusyError, TokenizerThreadError } from './errors.ts'
import { readTokenizerDefinition } from './load.ts'
import { TokenizerPool, type TokenizerPoolOptions } from './pool.ts'
import { embeddedSource } from './test-tokenizers.ts'
import { MAX_TEXT_LENGTH } from './tokenizer.ts'

let folder: string
let threadEntry: string
const pools: TokenizerPool[] = []

// Node runs no TypeScript, so the thread is built as the product builds it.
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'deos-tokenizer-thread-'))
  await build({
    entry: { 'tokenizer-thread': fileURLToPath(new URL('./thread.ts', import.meta.url)) },
    outDir: folder,
    format: 'esm',
    platform: 'node',
    dts: false,
    config: false,
    logLevel: 'silent',
    noExternal: [/./],
  })
  threadEntry = join(folder, 'tokenizer-thread.mjs')
})
afterAll(() => rm(folder, { recursive: true }))
afterEach(async () => {
  for (const pool of pools.splice(0)) await pool.stop()
})

async function createPool(options: Partial<TokenizerPoolOptions> = {}): Promise<TokenizerPool> {
  const definition = await readTokenizerDefinition(embeddedSource)
  const pool = new TokenizerPool(definition, { threadEntry, ...options })
  pools.push(pool)
  return pool
}

async function writeThread(name: string, code: string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, code)
  return path
}

const long = (word: string) => `${word} <|end|> `.repeat(1000)

describe('with a thread', () => {
  test('texts of every length give what the tokenizer gives, in order', async () => {
    const pool = await createPool()
    const texts = ['short', long('first'), long('second'), '', long('héllo 😀')]
    const options = { addSpecial: true, parseSpecial: true }
    const encoded = await Promise.all(texts.map((text) => pool.encode(text, options)))
    expect(encoded).toEqual(texts.map((text) => pool.tokenizer.encode(text, options)))
  })

  test('the event loop runs while a long text is encoded', async () => {
    const pool = await createPool()
    await pool.encode(long('warm up'))
    let turns = 0
    const ticker = setInterval(() => {
      turns += 1
    }, 1)
    await pool.encode('ab'.repeat(500_000))
    clearInterval(ticker)
    // A megabyte takes tens of milliseconds at the least; on this thread there would have been no turn at all.
    expect(turns).toBeGreaterThan(0)
  })

  test('an aborted text is given up at once, waiting or in work, and the next one is served', async () => {
    const pool = await createPool()
    const abort = new AbortController()
    const inWork = pool.encode(long('a'), {}, abort.signal)
    const waiting = pool.encode(long('b'), {}, abort.signal)
    const next = pool.encode(long('c'))
    abort.abort(new Error('gone'))
    await expect(inWork).rejects.toThrow('gone')
    await expect(waiting).rejects.toThrow('gone')
    expect(await next).toEqual(pool.tokenizer.encode(long('c')))
    await expect(pool.encode(long('d'), {}, abort.signal)).rejects.toThrow('gone')
  })

  test('too many waiting texts are refused with an error that may be retried', async () => {
    const pool = await createPool({ capacity: 1 })
    const taken = [pool.encode(long('a')), pool.encode(long('b'))]
    await expect(pool.encode(long('c'))).rejects.toThrow(TokenizerBusyError)
    expect((await pool.encode('short')).length).toBeGreaterThan(0)
    expect(await Promise.all(taken)).toHaveLength(2)
  })

  test('stopping fails what waits and what comes', async () => {
    const pool = await createPool()
    const waiting = [pool.encode(long('a')), pool.encode(long('b'))]
    const outcomes = Promise.allSettled(waiting)
    await pool.stop()
    for (const outcome of await outcomes)
      expect(outcome).toMatchObject({ reason: expect.any(TokenizerThreadError) })
    await expect(pool.encode('short')).rejects.toThrow('is stopped')
  })

  test('a text beyond the limit never reaches the thread', async () => {
    const pool = await createPool({ threadEntry: '/does/not/exist.mjs' })
    await expect(pool.encode('a'.repeat(MAX_TEXT_LENGTH + 1))).rejects.toThrow(TextTooLongError)
  })
})

describe('when the thread fails', () => {
  test('a crash costs the text in work alone; the next one gets a fresh thread', async () => {
    const crashing = await writeThread(
      'crashing.mjs',
      `import { parentPort } from 'node:worker_threads'
       parentPort.on('message', ({ id, text }) => {
         if (text.startsWith('crash')) throw new Error('boom')
         parentPort.postMessage({ id, ids: Int32Array.of(text.length) })
       })`,
    )
    const pool = await createPool({ threadEntry: crashing })
    const outcomes = await Promise.allSettled([
      pool.encode(long('fine')),
      pool.encode(long('crash')),
      pool.encode(long('fine')),
      pool.encode(long('crash')),
      pool.encode(long('fine')),
    ])
    expect(outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'rejected',
      'fulfilled',
    ])
    expect(outcomes[1]).toMatchObject({ reason: { code: 'TOKENIZER_THREAD_FAILED', retriable: true } })
    expect(String((outcomes[1] as PromiseRejectedResult).reason)).toContain('boom')
  })

  test('a thread that ends by itself is an error, not silence', async () => {
    const ending = await writeThread('ending.mjs', 'process.exit(3)')
    const pool = await createPool({ threadEntry: ending })
    await expect(pool.encode(long('a'))).rejects.toThrow('ended with code 3')
  })

  test.each(['/does/not/exist.mjs', 'relative.mjs'])(
    'an entry that cannot start (%s) fails the text',
    async (entry) => {
      const pool = await createPool({ threadEntry: entry })
      await expect(pool.encode(long('a'))).rejects.toThrow(TokenizerThreadError)
      await expect(pool.encode(long('b'))).rejects.toThrow(TokenizerThreadError)
    },
  )
})

test('without a thread every text is encoded in place', async () => {
  const pool = await createPool({ threadEntry: null })
  expect(await pool.encode(long('a'))).toEqual(pool.tokenizer.encode(long('a')))
})
