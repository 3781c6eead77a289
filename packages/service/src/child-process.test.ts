import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { lastLogLine, startChild } from './child-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'deos-child-'))
afterAll(() => rmSync(folder, { recursive: true }))

function run(name: string, text: string, watchErrors: boolean) {
  const script = join(folder, `${name}.mjs`)
  writeFileSync(script, text)
  const lines: string[] = []
  const errorLines: string[] = []
  const logFile = join(folder, `${name}.log`)
  const ended = new Promise<string>((resolve) => {
    startChild({
      ...{ script, nodeFlags: [], args: ['word'], env: { DEOS_TEST: 'value' }, logFile },
      onLine: (line) => lines.push(line),
      ...(watchErrors && { onErrorLine: (line: string) => errorLines.push(line) }),
      onExit: resolve,
    })
  })
  return { ended, lines, errorLines, log: () => readFileSync(logFile, 'utf8') }
}

const talkative = `console.log(process.argv[2] + process.env.DEOS_TEST); console.error('one'); console.error('two')
process.exitCode = 3`

test.each([true, false])(
  'a child is heard, and its end is explained by its log (errors watched: %s)',
  async (watched) => {
    const child = run(`talkative-${watched}`, talkative, watched)
    expect(await child.ended).toBe('ended with code 3: two')
    expect(child.lines).toEqual(['wordvalue'])
    expect(child.errorLines).toEqual(watched ? ['one', 'two'] : [])
    expect(child.log()).toBe('one\ntwo\n')
  },
)

test('the last line of a log is its message, if it is a JSON line', () => {
  expect(lastLogLine('first\n{"level":"fatal","msg":"No memory."}\n\n')).toBe('No memory.')
  expect(lastLogLine('{"level":"fatal"}')).toBe('{"level":"fatal"}')
  expect(lastLogLine(' \n')).toBeNull()
})
