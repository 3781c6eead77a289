import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Where the product lies, and which version of it. */
export interface Installation {
  readonly folder: string
  readonly version: string
}

/**
 * Finds the product's own package above a file of it, whether that was built or is a source.
 *
 * @param from - address of the file: `import.meta.url`
 */
export function findInstallation(from: string): Installation {
  for (let folder = dirname(fileURLToPath(from)); ; folder = dirname(folder)) {
    const path = join(folder, 'package.json')
    if (existsSync(path)) {
      const { name, version } = JSON.parse(readFileSync(path, 'utf8')) as { name: string; version: string }
      if (name === 'deos') return { folder, version }
    }
    if (dirname(folder) === folder) throw new Error(`There is no package "deos" above ${from}.`)
  }
}
