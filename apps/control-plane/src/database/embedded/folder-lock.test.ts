import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DatabaseFolderInUseError } from '../errors.ts'
import { FolderLock } from './folder-lock.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'deos-lock-'))
})
afterEach(() => rm(folder, { recursive: true }))

const path = () => join(folder, 'lock')
const writeLock = (changes: Record<string, unknown>, own: string) =>
  writeFile(path(), JSON.stringify({ ...JSON.parse(own), ...changes }))

/** What a lock of this process looks like. */
async function ownLock(): Promise<string> {
  const lock = await FolderLock.take(folder)
  const text = await readFile(path(), 'utf8')
  await lock.release()
  return text
}

test('one at a time; it is free again when it is released', async () => {
  const lock = await FolderLock.take(folder)
  const refusal = await FolderLock.take(folder).catch((error: unknown) => error)
  expect(refusal).toBeInstanceOf(DatabaseFolderInUseError)
  expect((refusal as Error).message).toContain(`process ${process.pid}`)
  await lock.release()
  expect(await readdir(folder)).toEqual([])
  await (await FolderLock.take(folder)).release()
})

test('of many at once over a dead lock, one gets it', async () => {
  await writeFile(path(), 'torn')
  const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => FolderLock.take(folder)))
  const taken = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  expect(taken).toHaveLength(1)
  expect(await readdir(folder)).toEqual(['lock'])
  await taken[0]!.release()
})

test('a process that lives holds it, one that died does not, nor one that has the same number by chance', async () => {
  const own = await ownLock()
  const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
  await once(other, 'spawn')
  await writeLock({ pid: other.pid, startedAt: null }, own)
  await expect(FolderLock.take(folder)).rejects.toThrow(`process ${other.pid}`)
  if (process.platform === 'linux') {
    await writeLock({ pid: other.pid, startedAt: 'at another time' }, own)
    await (await FolderLock.take(folder)).release()
  }
  other.kill('SIGKILL')
  await once(other, 'exit')
  await writeLock({ pid: other.pid, startedAt: null }, own)
  await (await FolderLock.take(folder)).release()
})

test('what this process left behind before it had this number is dead', async () => {
  await writeFile(path(), await ownLock())
  await (await FolderLock.take(folder)).release()
})

test('another system holds it for as long as it renews it', async () => {
  const own = await ownLock()
  await writeLock({ system: 'elsewhere' }, own)
  await expect(FolderLock.take(folder)).rejects.toThrow(DatabaseFolderInUseError)
  const longAgo = new Date(Date.now() - 60_000)
  await utimes(path(), longAgo, longAgo)
  await (await FolderLock.take(folder)).release()
})
