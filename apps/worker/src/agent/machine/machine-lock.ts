import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { DomainError } from '@deos/domain'

/** Another process on this computer is this machine. */
export class MachineInUseError extends DomainError {
  readonly code = 'MACHINE_KEY_IN_USE'
  readonly retriable = false

  constructor(path: string, pid: number) {
    super(
      `Process ${pid} of this computer is this machine already (${path}).`,
      'Stop it first, or start this one with another --name to be a machine of its own.',
    )
  }
}

interface Holder {
  readonly pid: number
  /** Tells a process from a later one with the same number; null where the system does not say. */
  readonly birth: string | null
}

/** Start of a process since which boot; null if it is gone or the system has no such file. */
function birthOf(pid: number): string | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${boot}:${fields[19]}`
  } catch {
    return null
  }
}

function isAlive({ pid, birth }: Holder): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  return birth === null || birthOf(pid) === birth
}

function parseHolder(text: string): Holder | null {
  try {
    const { pid, birth } = JSON.parse(text) as { pid?: unknown; birth?: unknown }
    return typeof pid === 'number' ? { pid, birth: typeof birth === 'string' ? birth : null } : null
  } catch {
    return null
  }
}

function readLock(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** @returns whether the draft is the lock now */
function claim(draft: string, path: string): boolean {
  try {
    linkSync(draft, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Sets aside what a dead process left. What somebody else claimed in this moment is put back. */
function clearStale(path: string, stale: string): void {
  const aside = `${path}.${randomBytes(6).toString('hex')}`
  try {
    renameSync(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  if (readFileSync(aside, 'utf8') !== stale) claim(aside, path)
  rmSync(aside)
}

const ATTEMPTS = 10

/**
 * Makes this process the only one with what the file stands for, until it ends. What a dead process left is taken over.
 *
 * @returns what gives it up
 * @throws MachineInUseError
 */
export function takeMachineLock(path: string): () => void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const own = JSON.stringify({
    pid: process.pid,
    birth: birthOf(process.pid),
    nonce: randomBytes(8).toString('hex'),
  })
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  writeFileSync(draft, own, { mode: 0o600, flag: 'wx' })
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      if (claim(draft, path)) return () => release(path, own)
      const text = readLock(path)
      if (text === null) continue
      const holder = parseHolder(text)
      if (holder !== null && isAlive(holder)) throw new MachineInUseError(path, holder.pid)
      clearStale(path, text)
    }
  } finally {
    rmSync(draft)
  }
  throw new Error(`${path} changes hands all the time.`)
}

function release(path: string, own: string): void {
  if (readLock(path) === own) rmSync(path, { force: true })
}
