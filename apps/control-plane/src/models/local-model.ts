import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { calibrationEnding, withoutCalibration } from '@deos/blobs'
import { ModelSourceError } from './errors.ts'
import { filesOfModel } from './model-files.ts'

/** Of an index of shards. */
const largestTextBytes = 64 * 1024 * 1024

export interface LocalFile {
  readonly name: string
  /** Without symbolic links. */
  readonly path: string
}

const lies = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep)

/** Folders of this machine from which models may be taken. */
export class ModelFolders {
  constructor(private readonly folders: readonly string[]) {}

  /**
   * The path without symbolic links.
   *
   * @throws ModelSourceError if it is not in one of the folders, by its name and by where links lead; elsewhere nothing is
   *   looked at, so that nobody learns what is there
   */
  async open(path: string): Promise<string> {
    const roots = await Promise.all(this.folders.map((folder) => realpath(folder).catch(() => null)))
    const inside = [...this.folders.map((folder) => resolve(folder)), ...roots].some(
      (folder) => folder !== null && lies(resolve(path), folder),
    )
    if (!inside) throw this.#refusal(path)
    const real = await realpath(path).catch(() => {
      throw new ModelSourceError(
        `${path} does not exist.`,
        'Check the path on the machine of the control plane.',
      )
    })
    if (roots.some((folder) => folder !== null && lies(real, folder))) return real
    throw this.#refusal(path)
  }

  /**
   * Files of the model at a path. Of a folder, a calibration may also lie beside it, under its name.
   *
   * @throws ModelSourceError, UnsafeFileNameError
   */
  async files(path: string): Promise<readonly LocalFile[]> {
    const real = await this.open(path)
    const isFolder = (await stat(real)).isDirectory()
    // Parts of a divided file are named beside the one that was given, not beside what it links to.
    const folder = isFolder ? real : dirname(resolve(path))
    const offered = {
      names: await readdir(folder),
      read: async (name: string) => {
        const file = await this.open(join(folder, name))
        const { size } = await stat(file)
        if (size > largestTextBytes)
          throw new ModelSourceError(`${name} has ${size} bytes.`, 'Get the model again.')
        return readFile(file, 'utf8')
      },
    }
    const names = await filesOfModel(offered, isFolder ? null : basename(path))
    const files = await Promise.all(
      names.map(async (name) => ({ name, path: await this.open(join(folder, name)) })),
    )
    const beside =
      isFolder && withoutCalibration(files).calibration === null ? await this.#beside(path) : null
    return beside === null ? files : [...files, beside]
  }

  /** Nobody named it: what is not there, or not open, is not taken. */
  async #beside(folder: string): Promise<LocalFile | null> {
    const path = resolve(folder) + calibrationEnding
    const opened = await this.open(path).catch(() => null)
    return opened === null ? null : { name: basename(path), path: opened }
  }

  #refusal(path: string): ModelSourceError {
    return new ModelSourceError(
      `${path} does not lie in a folder from which models may be taken.`,
      this.folders.length === 0
        ? 'The operator has opened none (--model-folders).'
        : `Open are: ${this.folders.join(', ')}.`,
    )
  }
}
