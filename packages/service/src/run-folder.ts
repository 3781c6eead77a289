import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Folders of earlier runs that are kept for whoever wants to read their logs. */
const KEPT = 5

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function modifiedMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

/** A fresh folder `<home>/run/<pid>` for the logs of one run; old ones of dead processes are cleared away. */
export function createRunFolder(home: string): string {
  const parent = join(home, 'run')
  mkdirSync(parent, { recursive: true })
  const dead = readdirSync(parent)
    .filter((name) => /^\d+$/.test(name) && !isAlive(Number(name)))
    .map((name) => join(parent, name))
    .sort((a, b) => modifiedMs(b) - modifiedMs(a))
  for (const path of dead.slice(KEPT)) rmSync(path, { recursive: true, force: true })
  const folder = join(parent, String(process.pid))
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { mode: 0o700 })
  return folder
}
