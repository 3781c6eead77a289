import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { arrows } from './arrows.ts'
import { findViolations } from './check-imports.ts'
import { readSourceFacts } from './source-facts.ts'
import { type Member, readWorkspace } from './workspace.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('every import of the repository follows an arrow', () => {
  const members = readWorkspace(root)
  expect(members.map(({ name }) => name)).toEqual(expect.arrayContaining(['domain', 'engine', 'worker']))
  expect(members.flatMap(({ files }) => files).length).toBeGreaterThan(100)
  expect(findViolations(members)).toEqual([])
})

test('arrows lead to packages that are in the table, and never in a circle', () => {
  const reach = (name: string, path: readonly string[]): void => {
    expect(path, `${name} reaches itself`).not.toContain(name)
    expect(Object.keys(arrows)).toContain(name)
    for (const next of arrows[name]!) reach(next, [...path, name])
  }
  for (const name of Object.keys(arrows)) reach(name, [])
})

/** A small repository: `engine` and `protocol` beside the app `worker`, each with one file of the given text. */
function fixture(
  texts: Partial<Record<'domain' | 'protocol' | 'engine' | 'worker', string>>,
): readonly Member[] {
  const member = (
    name: string,
    kind: Member['kind'],
    dependencies: readonly string[],
    text = '',
  ): Member => ({
    name,
    kind,
    dependencies,
    exports: kind === 'app' ? [] : ['.', './testing'],
    files: [{ path: `${kind}s/${name}/src/file.ts`, text }],
  })
  return [
    member('domain', 'package', [], texts.domain),
    member('protocol', 'package', ['@deos/domain', 'msgpackr'], texts.protocol),
    member('engine', 'package', ['@deos/domain'], texts.engine),
    member('worker', 'app', ['@deos/domain', '@deos/protocol', '@deos/engine'], texts.worker),
  ]
}

test.each([
  [
    'a package that no arrow leads to',
    { protocol: `import { Stage } from '@deos/engine'` },
    'no arrow from protocol to engine',
  ],
  ['a type over a missing arrow', { protocol: `import type { Stage } from '@deos/engine'` }, 'no arrow'],
  ['a re-export', { protocol: `export * from '@deos/engine'` }, 'no arrow'],
  ['a dynamic import', { protocol: `const e = await import('@deos/engine')` }, 'no arrow'],
  ['a type written in place', { protocol: `let e: import('@deos/engine').Stage` }, 'no arrow'],
  ['an app', { engine: `import { Worker } from '@deos/worker'` }, 'nothing imports an app'],
  ['an undeclared package', { engine: `import { x } from '@deos/protocol'` }, 'does not declare'],
  ['an undeclared library', { worker: `import pino from 'pino'` }, 'does not declare'],
  [
    'what a package does not export',
    { worker: `import { x } from '@deos/engine/stage/stage.ts'` },
    'exports only ., ./testing',
  ],
  [
    'a package that does not exist',
    { worker: `import { x } from '@deos/nowhere'` },
    'no package of this repository',
  ],
  [
    'a file of a neighbour',
    { worker: `import { x } from '../../../packages/engine/src/file.ts'` },
    'use its package name',
  ],
  ['Node in a pure package', { protocol: `import { readFile } from 'node:fs/promises'` }, 'protocol is pure'],
  ['the clock in a pure package', { domain: 'export const now = () => Date.now()' }, 'uses Date'],
  ['chance in a pure package', { domain: 'export const die = () => Math.random()' }, 'uses Math.random'],
  ['a timer in a pure package', { domain: 'setTimeout(() => undefined, 1)' }, 'uses setTimeout'],
  ['the environment in a pure package', { domain: 'export const home = process.env.HOME' }, 'uses process'],
  ['a way around', { domain: `export const now = () => globalThis['Date'].now()` }, 'uses globalThis'],
  ['shorthand', { domain: 'export const tools = { fetch }' }, 'uses fetch'],
])('finds %s', (_, texts, problem) => {
  const violations = findViolations(fixture(texts))
  expect(violations).not.toEqual([])
  expect(violations.join('\n')).toContain(problem)
})

test.each([
  [
    'arrows of the table',
    { worker: `import { Stage } from '@deos/engine'\nimport { x } from '@deos/protocol/testing'` },
  ],
  ['domain from anywhere', { engine: `import { ms } from '@deos/domain'` }],
  [
    'Node at the edges',
    { engine: `import { readFileSync } from 'node:fs'`, worker: 'console.log(Date.now())' },
  ],
  ['a declared library', { protocol: `import { pack } from 'msgpackr'` }],
  ['words in comments and strings', { domain: `// Date.now() and process.env\nexport const text = 'fetch'` }],
  [
    'properties of the same name',
    { domain: 'export const f = (task: { process: () => void }) => task.process()' },
  ],
  ['types of the same name', { domain: 'export type Stamp = Date' }],
  ['own things of the same name', { domain: 'export const f = (fetch: () => number) => fetch()' }],
  ['files of its own', { worker: `import { x } from './other.ts'` }],
])('lets pass %s', (_, texts) => {
  expect(findViolations(fixture(texts))).toEqual([])
})

test('a member without arrows is refused by name', () => {
  const stranger: Member = { name: 'stranger', kind: 'package', dependencies: [], exports: [], files: [] }
  expect(() => findViolations([stranger])).toThrow('@deos/stranger is not in tests/architecture/arrows.ts')
})

test('lines are counted from 1', () => {
  const facts = readSourceFacts('x.ts', `\nimport 'a'\n\nDate\n`, ['Date'])
  expect(facts.imports).toEqual([{ specifier: 'a', line: 2 }])
  expect(facts.globals).toEqual([{ name: 'Date', line: 4 }])
})

test('the table in docs/architecture.md says the same', () => {
  const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8')
  const names = (cell: string) => [...cell.matchAll(/[`_]([a-z-]+)[`_]/g)].map(([, name]) => name!)
  const rows = [...page.matchAll(/^\| ([`_].*?) *\| (.*?) *\|$/gm)].map(([, members, imports]) => ({
    members,
    imports,
  }))
  const documented = Object.fromEntries(
    rows.flatMap(({ members, imports }) =>
      names(members!).map((member) => [member, imports === 'any package' ? arrows.bench : names(imports!)]),
    ),
  )
  const sorted = (table: Readonly<Record<string, readonly string[] | undefined>>) =>
    Object.fromEntries(Object.entries(table).map(([name, imports]) => [name, [...(imports ?? [])].sort()]))
  expect(sorted(documented)).toEqual(sorted(arrows))
})
