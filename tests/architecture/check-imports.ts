import { arrows, impureGlobals, narrowed, purePackages } from './arrows.ts'
import { type ImportFact, readSourceFacts } from './source-facts.ts'
import { type Member, type SourceFile, scope } from './workspace.ts'

/** The workspace member an import names, and its entry point as `exports` spells it. */
interface Target {
  readonly name: string
  readonly entry: string
}

function workspaceTarget(specifier: string): Target | null {
  if (!specifier.startsWith(scope)) return null
  const [name = '', ...rest] = specifier.slice(scope.length).split('/')
  return { name, entry: rest.length === 0 ? '.' : `./${rest.join('/')}` }
}

const isTest = (file: SourceFile): boolean => /\.(test|spec)\.tsx?$/.test(file.path)

/** Code for tests lives in files of their own and may use what tests use. */
const isTestSupport = (file: SourceFile): boolean => isTest(file) || /\/testing\//.test(file.path)

/**
 * Every import that the architecture forbids, one line each; none is the aim.
 *
 * @throws RangeError for a member that the table of arrows does not know
 */
export function findViolations(members: readonly Member[]): readonly string[] {
  const byName = new Map(members.map((member) => [member.name, member]))
  return members.flatMap((member) => {
    if (!(member.name in arrows)) {
      throw new RangeError(
        `${scope}${member.name} is not in tests/architecture/arrows.ts. Add its arrows there.`,
      )
    }
    return member.files.flatMap((file) => fileViolations(member, file, byName))
  })
}

function fileViolations(
  member: Member,
  file: SourceFile,
  byName: ReadonlyMap<string, Member>,
): readonly string[] {
  const { imports, globals } = readSourceFacts(file.path, file.text, impureGlobals)
  const found = imports.flatMap((fact) =>
    importProblems(member, file, fact, byName).map((problem) => `${file.path}:${fact.line} ${problem}`),
  )
  if (!purePackages.includes(member.name) || isTestSupport(file)) return found
  return [
    ...found,
    ...globals.map(({ name, line }) => `${file.path}:${line} uses ${name}, but ${member.name} is pure.`),
  ]
}

function importProblems(
  member: Member,
  file: SourceFile,
  { specifier }: ImportFact,
  byName: ReadonlyMap<string, Member>,
): readonly string[] {
  if (specifier.startsWith('.')) return relativeProblems(member, file, specifier)
  const target = workspaceTarget(specifier)
  if (target === null) return foreignProblems(member, file, specifier)
  const imported = byName.get(target.name)
  if (imported === undefined) return [`imports ${specifier}, which is no package of this repository.`]
  return [
    ...arrowProblems(member, file, specifier, imported),
    ...(target.name === member.name || member.dependencies.includes(scope + target.name)
      ? []
      : [`imports ${specifier}, which ${member.name} does not declare in its dependencies.`]),
    ...(imported.exports.includes(target.entry)
      ? []
      : [
          `imports ${specifier}, but ${target.name} exports only ${imported.exports.join(', ') || 'nothing'}.`,
        ]),
  ]
}

function arrowProblems(
  member: Member,
  file: SourceFile,
  specifier: string,
  imported: Member,
): readonly string[] {
  if (imported.kind !== 'package') return [`imports ${specifier}, but nothing imports an app.`]
  if (imported.name === member.name || imported.name === 'domain' || isTest(file)) return []
  if (!arrows[member.name]!.includes(imported.name)) {
    return [`imports ${specifier}, but there is no arrow from ${member.name} to ${imported.name}.`]
  }
  const entries = narrowed[member.name]?.[imported.name]
  if (entries === undefined || entries.includes(specifier)) return []
  return [
    `imports ${specifier}; from ${imported.name}, ${member.name} may import only ${entries.join(', ')}.`,
  ]
}

/** Relative imports stay inside their member. */
function relativeProblems(member: Member, file: SourceFile, specifier: string): readonly string[] {
  const folders = file.path.split('/').slice(0, -1)
  const depth = folders.length - folders.indexOf('src')
  const up = specifier.split('/').filter((part) => part === '..').length
  return up >= depth ? [`imports ${specifier}, a file outside of ${member.name}; use its package name.`] : []
}

function foreignProblems(member: Member, file: SourceFile, specifier: string): readonly string[] {
  if (specifier.startsWith('node:')) {
    const pure = purePackages.includes(member.name) && !isTestSupport(file)
    return pure ? [`imports ${specifier}, but ${member.name} is pure.`] : []
  }
  if (isTestSupport(file)) return []
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
  return member.dependencies.includes(name)
    ? []
    : [`imports ${specifier}, which ${member.name} does not declare in its dependencies.`]
}
