import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { builtScript, embeddedModel } from './package-root.ts'

const folder = mkdtempSync(join(tmpdir(), 'deos-cli-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Runs the built program in a folder that is not the repository. @throws CommandError if it is not built */
function deos(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [builtScript('deos'), ...words], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, DEOS_HOME: folder, DEOS_API_KEY: '' },
  })
  return { status, stdout, stderr }
}

test('help names every command and examples', () => {
  const { status, stdout } = deos('--help')
  expect(status).toBe(0)
  for (const word of ['serve', 'run', 'chat', 'model', 'doctor', 'bench', 'Examples:']) {
    expect(stdout).toContain(word)
  }
  expect(deos().stdout).toBe(stdout)
})

test.each(['serve', 'run', 'chat', 'doctor', 'bench', 'model inspect', 'model convert'])(
  'deos %s --help shows an example and --json',
  (command) => {
    const { status, stdout } = deos(...command.split(' '), '--help')
    expect(status).toBe(0)
    expect(stdout).toContain(`$ deos ${command}`)
    expect(stdout).toContain('--json')
  },
)

test.each([
  [['ups'], "Unknown command 'ups'. Did you mean up?"],
  [['serve', '--prot', '1'], "Unknown option '--prot'. Did you mean --port?"],
  [['serve', '--port', '70000'], 'It must be a whole number from 0 to 65535.'],
  [['serve', '--workers', '0'], 'It must be a whole number from 1 to 64.'],
  [['serve', '--workers', '9'], 'deos-7m has 8 layers, too few for 9 workers'],
  [['serve', '--weights', 'Q9'], 'There is no weight type "Q9".'],
  [['serve', '--context', '4096'], '--context 4096 exceeds the 1024 positions of deos-7m.'],
  [['model', 'convert', 'x'], "Required option '--type <type>' not specified"],
  [['bench', 'engin'], 'Did you mean "engine"?'],
])('deos %j is refused with status 2', (words, message) => {
  const { status, stdout, stderr } = deos(...words)
  expect(stderr).toContain(message)
  expect(status).toBe(2)
  expect(stdout).toBe('')
})

test('a path without a model is refused by name, for programs too', () => {
  const { status, stdout, stderr } = deos('model', 'inspect', '/nowhere', '--json')
  expect(status).toBe(1)
  expect(stderr).toContain('/nowhere does not exist.')
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'MODEL_NOT_FOUND' } })
})

test('a network that there is none of is refused before anything starts', () => {
  const { status, stdout, stderr } = deos('up', '--wan', 'nowhere')
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
  expect(stderr).toContain('--wan: "nowhere" is no network profile')
  expect(stderr).toContain('aws-4-regions')
})

test('inspect counts the embedded model', () => {
  const { status, stdout } = deos('model', 'inspect', embeddedModel, '--json')
  expect(status).toBe(0)
  const report = JSON.parse(stdout) as { layers: unknown[]; tokenizer: unknown; config: unknown }
  expect(report.layers).toHaveLength(8)
  expect(report).toMatchObject({ parameters: 6_951_168, tokenizer: { vocabSize: 4096, instruct: false } })
  expect(deos('model', 'inspect', embeddedModel).stdout).toMatch(/layers \[0, 8\), each/)
})

test('convert writes once, and again only when forced', () => {
  const path = join(folder, 'small.gguf')
  const words = ['model', 'convert', embeddedModel, '--type', 'Q8_0', '-o', path]
  const first = deos(...words, '--json')
  expect(first.stderr).toBe('')
  expect(JSON.parse(first.stdout)).toMatchObject({ output: path, type: 'Q8_0' })
  const second = deos(...words)
  expect(second.status).toBe(1)
  expect(second.stderr).toContain('exists already')
  expect(deos(...words, '--force').status).toBe(0)
  expect(deos('model', 'inspect', path).stdout).toContain('Q8_0')
})

test('doctor reports as JSON what it found', () => {
  const { status, stdout, stderr } = deos('doctor', '--port', '0', '--json')
  const report = JSON.parse(stdout) as { healthy: boolean; findings: { check: string; status: string }[] }
  expect(stderr).toBe('')
  expect(report.findings.filter(({ status }) => status === 'fail')).toEqual([])
  expect(status).toBe(0)
  expect(report.findings.map(({ check }) => check)).toEqual(
    expect.arrayContaining([
      'node',
      'tensor library',
      'device CPU',
      'memory',
      'disk',
      'model deos-7m',
      'port',
    ]),
  )
})

test('without a server, run and chat say how to start one', () => {
  const run = deos('run', 'Hello', '--url', 'http://127.0.0.1:9')
  expect(run.status).toBe(1)
  expect(run.stderr).toContain('No server answers at http://127.0.0.1:9')
  expect(run.stderr).toContain('deos serve')
  expect(deos('chat', '--url', 'http://127.0.0.1:9').status).toBe(1)
})

test('run without a prompt says how to give one', () => {
  const { status, stderr } = deos('run', '-')
  expect(status).toBe(2)
  expect(stderr).toContain('Standard input is empty.')
})
