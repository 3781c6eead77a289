import { link, lstat, mkdir, readdir, rename, rm, symlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { checkFileName, UnsafeFileNameError } from './file-name.ts'
import { errorCode, writing } from './stored-blob.ts'

export interface LinkedFile {
  /** Within the model's folder; not trusted. */
  readonly name: string
  /** Of the bytes. */
  readonly path: string
}

/**
 * Makes a folder hold exactly the files, under their names, without copying: as hard links, or as symbolic ones where
 * the bytes lie on another disk. What else was in it is removed.
 *
 * @throws UnsafeFileNameError, BlobWriteError
 */
export async function linkModel(folder: string, files: readonly LinkedFile[]): Promise<void> {
  checkNames(files.map(({ name }) => name))
  await writing(folder, async () => {
    await mkdir(folder, { recursive: true })
    for (const { name, path } of files) {
      await makeFolders(folder, name)
      await linkFile(join(folder, name), resolve(path))
    }
    await removeOthers(folder, new Set(files.map(({ name }) => name)))
  })
}

/** Systems that do not tell upper from lower case would make one file of two. */
function checkNames(names: readonly string[]): void {
  const seen = new Set<string>()
  const folders = new Set<string>()
  for (const name of names) {
    checkFileName(name)
    const plain = name.normalize('NFC').toLowerCase()
    if (seen.has(plain)) throw new UnsafeFileNameError(name, 'is there twice')
    seen.add(plain)
    const parts = plain.split('/')
    for (let depth = 1; depth < parts.length; depth += 1) folders.add(parts.slice(0, depth).join('/'))
  }
  const both = names.find((name) => folders.has(name.normalize('NFC').toLowerCase()))
  if (both !== undefined) throw new UnsafeFileNameError(both, 'is a file and a folder at once')
}

/** Inner folders, none of which may be a link that leads elsewhere. */
async function makeFolders(folder: string, name: string): Promise<void> {
  const parts = name.split('/').slice(0, -1)
  for (let depth = 1; depth <= parts.length; depth += 1) {
    const inner = join(folder, ...parts.slice(0, depth))
    const found = await lstat(inner).catch(() => null)
    if (found?.isDirectory()) continue
    if (found) await rm(inner, { recursive: true, force: true })
    await mkdir(inner)
  }
}

async function linkFile(target: string, path: string): Promise<void> {
  const found = await lstat(target).catch(() => null)
  if (found?.isDirectory()) await rm(target, { recursive: true, force: true })
  const temporary = join(dirname(target), `.${process.pid}-${counter++}.link`)
  try {
    await link(path, temporary)
  } catch (error) {
    if (!['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP'].includes(errorCode(error) ?? '')) throw error
    await symlink(path, temporary)
  }
  // Renaming a link onto another one of the same file does nothing and leaves both.
  await rename(temporary, target)
  await rm(temporary, { force: true })
}

let counter = 0
/** Somebody else may be about to give it its name. */
const temporaryName = /^\.\d+-\d+\.link$/

async function removeOthers(folder: string, names: ReadonlySet<string>, prefix = ''): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const name = prefix + entry.name
    const path = join(folder, entry.name)
    const holds = entry.isDirectory() && [...names].some((wanted) => wanted.startsWith(`${name}/`))
    if (holds) await removeOthers(path, names, `${name}/`)
    else if (!names.has(name) && !temporaryName.test(entry.name))
      await rm(path, { recursive: true, force: true })
  }
}
