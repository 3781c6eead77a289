import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

/** One package or app: what it says about itself and its sources. */
export interface Member {
  /** Without the scope: `domain`, `gateway`. */
  readonly name: string
  readonly kind: 'package' | 'app' | 'bench'
  readonly dependencies: readonly string[]
  /** Keys of `exports` in package.json: `.`, `./testing`. */
  readonly exports: readonly string[]
  readonly files: readonly SourceFile[]
}

export interface SourceFile {
  /** From the root of the repository. */
  readonly path: string
  readonly text: string
}

interface PackageJson {
  readonly name: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly exports?: Readonly<Record<string, string>>
}

export const scope = '@deos/'

function readSources(root: string, folder: string): readonly SourceFile[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry): readonly SourceFile[] => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return readSources(root, path)
    if (!/\.tsx?$/.test(entry.name)) return []
    return [{ path: relative(root, path), text: readFileSync(path, 'utf8') }]
  })
}

function readMember(root: string, folder: string, kind: Member['kind']): Member {
  const described = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as PackageJson
  return {
    name: described.name.slice(scope.length),
    kind,
    dependencies: Object.keys(described.dependencies ?? {}),
    exports: Object.keys(described.exports ?? {}),
    files: readSources(root, join(folder, 'src')),
  }
}

/** Every package and app of the repository, and the benches. */
export function readWorkspace(root: string): readonly Member[] {
  const inside = (name: string, kind: Member['kind']) => {
    const folder = join(root, name)
    if (!existsSync(folder)) return []
    return readdirSync(folder)
      .filter((each) => existsSync(join(folder, each, 'package.json')))
      .map((each) => readMember(root, join(folder, each), kind))
  }
  return [
    ...inside('packages', 'package'),
    ...inside('apps', 'app'),
    readMember(root, join(root, 'bench'), 'bench'),
  ]
}
