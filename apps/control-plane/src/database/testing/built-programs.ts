import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'tsdown'
import { cachedImage, imageName } from '../embedded/engine-image.ts'

/**
 * Builds programs as the product is built, since Node runs no TypeScript: the database's thread, its image and the
 * migrations lie beside them. Inside `node_modules`, where what is not bundled is found.
 *
 * @param entries - sources by the name of the program
 * @returns the folder, and how to remove it
 */
export async function buildPrograms(
  entries: Readonly<Record<string, URL>>,
): Promise<{ readonly folder: string; readonly remove: () => Promise<void> }> {
  const require = createRequire(import.meta.url)
  const resolved = require.resolve('@electric-sql/pglite')
  const cache = join(resolved.slice(0, resolved.lastIndexOf('@electric-sql')), '.cache')
  await mkdir(cache, { recursive: true })
  const folder = await mkdtemp(join(cache, 'deos-programs-'))
  const thread = new URL('../embedded/thread.ts', import.meta.url)
  await build({
    entry: Object.fromEntries(
      Object.entries({ 'database-thread': thread, ...entries }).map(([name, url]) => [
        name,
        fileURLToPath(url),
      ]),
    ),
    outDir: folder,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    dts: false,
    config: false,
    logLevel: 'silent',
    deps: { alwaysBundle: [/^@deos\//], neverBundle: [/^(?!@deos\/)[a-z@]/] },
  })
  await cp(fileURLToPath(new URL('../../../migrations', import.meta.url)), join(folder, 'migrations'), {
    recursive: true,
  })
  await writeFile(join(folder, imageName), await cachedImage())
  return { folder, remove: () => rm(folder, { recursive: true }) }
}
