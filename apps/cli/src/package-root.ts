import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CommandError } from './cli-error.ts'

interface RootPackage {
  readonly name: string
  readonly version: string
}

function readPackage(folder: string): RootPackage | null {
  const path = join(folder, 'package.json')
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as RootPackage) : null
}

function findRoot(start: string): { readonly folder: string; readonly version: string } {
  for (let folder = start; ; folder = dirname(folder)) {
    const found = readPackage(folder)
    if (found?.name === 'deos') return { folder, version: found.version }
    if (dirname(folder) === folder) throw new Error(`No package "deos" above ${start}.`)
  }
}

const root = findRoot(dirname(fileURLToPath(import.meta.url)))

/** Folder of the installation, wherever the command was called from. */
export const packageRoot = root.folder
export const version = root.version

export const embeddedModel = join(packageRoot, 'models', 'deos-7m')

/** A process of the product, as the build leaves it. @throws CommandError if the build is missing */
export function builtScript(name: string): string {
  const path = join(packageRoot, 'dist', `${name}.mjs`)
  if (existsSync(path)) return path
  throw new CommandError(`${path} does not exist.`, `Run "npm run build" in ${packageRoot} first.`)
}

/** Where DeOS keeps its files for this user: `DEOS_HOME`, or `.deos` in the home folder. */
export function homeFolder(env: Readonly<Record<string, string | undefined>> = process.env): string {
  return env.DEOS_HOME || join(homedir(), '.deos')
}

export const cacheFolder = (): string => join(homeFolder(), 'cache')
