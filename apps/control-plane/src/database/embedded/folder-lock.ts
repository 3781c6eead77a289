import { readFileSync, readlinkSync } from 'node:fs'
import { link, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { DatabaseFolderInUseError } from '../errors.ts'

/** Who has a folder open. */
interface Holder {
  readonly pid: number
  /** Tells apart processes that had the same number; null where the system does not say. */
  readonly startedAt: string | null
  /** Within which numbers of processes mean anything. */
  readonly system: string
}

/** A holder of another system is taken for dead when its lock was not renewed for this long. */
const silenceMs = 15_000
const renewMs = 3000

const held = new Set<string>()

/** Keeps a second process from opening a folder: the engine itself would let it, and break the data. */
export class FolderLock {
  readonly #path: string
  readonly #renewal: NodeJS.Timeout

  private constructor(path: string) {
    this.#path = path
    held.add(path)
    this.#renewal = setInterval(() => utimes(path, new Date(), new Date()).catch(() => {}), renewMs)
    this.#renewal.unref()
  }

  /** @throws DatabaseFolderInUseError if a live process holds it */
  static async take(folder: string): Promise<FolderLock> {
    const path = join(folder, 'lock')
    // Each turn but the last ends with somebody's dead lock removed.
    for (let turn = 0; turn < 10; turn += 1) {
      if (await created(path)) return new FolderLock(path)
      const text = await readFile(path, 'utf8').catch(() => null)
      if (text === null) continue
      const holder = parseHolder(text)
      if (holder !== null && (await isAlive(holder, path)))
        throw new DatabaseFolderInUseError(folder, holder.pid)
      await removeDead(path, text)
    }
    throw new Error(`The lock ${path} changes hands too fast.`)
  }

  async release(): Promise<void> {
    clearInterval(this.#renewal)
    held.delete(this.#path)
    await rm(this.#path, { force: true })
  }
}

/** Whole or not at all, so that nobody reads half of it. */
async function created(path: string): Promise<boolean> {
  const draft = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`
  const holder: Holder = { pid: process.pid, startedAt: startOf(process.pid), system: thisSystem() }
  await writeFile(draft, JSON.stringify(holder))
  try {
    await link(draft, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}

/** Two that find the same dead lock: the later must not remove what the earlier has put in its place. */
async function removeDead(path: string, text: string): Promise<void> {
  const grave = `${path}.dead.${process.pid}.${Math.random().toString(36).slice(2)}`
  try {
    await rename(path, grave)
  } catch {
    return
  }
  if ((await readFile(grave, 'utf8').catch(() => null)) !== text) await link(grave, path).catch(() => {})
  await rm(grave, { force: true })
}

function parseHolder(text: string): Holder | null {
  try {
    const { pid, startedAt, system } = JSON.parse(text) as Partial<Holder>
    if (!Number.isSafeInteger(pid) || pid! <= 0 || typeof system !== 'string') return null
    return { pid: pid!, startedAt: typeof startedAt === 'string' ? startedAt : null, system }
  } catch {
    return null
  }
}

async function isAlive(holder: Holder, path: string): Promise<boolean> {
  if (holder.system !== thisSystem()) return Date.now() - (await renewedAtMs(path)) < silenceMs
  if (holder.pid === process.pid) return held.has(path)
  if (!exists(holder.pid)) return false
  return holder.startedAt === null || holder.startedAt === startOf(holder.pid)
}

async function renewedAtMs(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs
  } catch {
    return 0
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Ticks since the system started, as Linux says: the 22nd word, the 20th behind the name in brackets. */
function startOf(pid: number): string | null {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return line.slice(line.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null
  }
}

/** A boot of a machine, and which of its containers; the name of the machine where there is no such thing. */
function thisSystem(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${boot}/${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return hostname()
  }
}
