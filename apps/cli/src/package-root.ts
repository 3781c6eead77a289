import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { findInstallation } from '@deos/service'
import { CommandError } from './cli-error.ts'

const root = findInstallation(import.meta.url)

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
