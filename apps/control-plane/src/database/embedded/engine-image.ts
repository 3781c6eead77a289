import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { openEngine } from './postgres-engine.ts'

/** What the build calls the image that it puts beside the program. */
export const imageName = 'embedded-database.tar.gz'

/**
 * A database without tables, ready to be unpacked: making one takes several times the time and memory of that. It
 * depends on the engine alone, so that it is made once for each version of it and kept among npm's packages.
 *
 * @returns a compressed archive, for {@link unpackImage}
 */
export async function cachedImage(): Promise<Uint8Array> {
  const entry = createRequire(import.meta.url).resolve('@electric-sql/pglite')
  const modules = entry.slice(0, entry.lastIndexOf('@electric-sql'))
  const manifest = await readFile(join(modules, '@electric-sql/pglite/package.json'), 'utf8')
  const { version } = JSON.parse(manifest) as { version: string }
  const path = join(modules, '.cache', `deos-${version}-${imageName}`)
  const kept = await readFile(path).catch(() => null)
  if (kept !== null) return kept
  const image = await makeImage()
  await mkdir(dirname(path), { recursive: true })
  // Whole or not at all: others may look meanwhile.
  await writeFile(`${path}.${process.pid}`, image)
  await rename(`${path}.${process.pid}`, path)
  return image
}

async function makeImage(): Promise<Uint8Array> {
  const engine = await openEngine(null)
  await engine.exec('checkpoint')
  const archive = await engine.dumpDataDir('none')
  await engine.close()
  return gzipSync(await archive.arrayBuffer())
}

/**
 * Writes an empty database.
 *
 * @param image - path of an image; null makes it from nothing
 */
export async function createEngineFiles(folder: string, image: string | null): Promise<void> {
  const engine = await openEngine(folder, image === null ? null : unpackImage(await readFile(image)))
  await engine.close()
}

export const unpackImage = (image: Uint8Array): Blob => new Blob([gunzipSync(image)])
