import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type BenchReport, measuredFigure } from './contract.ts'
import { type BenchDefinition, BenchUsageError, countFlag, runBench } from './run-bench.ts'

let out = ''
let err = ''

beforeEach(() => {
  out = err = ''
  process.exitCode = undefined
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += text
    return true
  })
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += text
    return true
  })
})

afterEach(() => {
  vi.restoreAllMocks()
  process.exitCode = undefined
})

const bench: BenchDefinition = {
  name: 'sample',
  options: { size: { type: 'string' } },
  usage: '  --size N   how much',
  run: async ({ quick, values, progress }) => {
    progress('measuring')
    const samples = [countFlag(values, 'size', 3)]
    return {
      figures: [measuredFigure({ id: 'sample.size', unit: 'things', better: 'higher', bar: 3, samples })],
      raw: { quick },
    }
  },
}

test('--json prints exactly one object to stdout, progress to stderr', async () => {
  await runBench(bench, ['--json', '--quick', '--size', '4'])
  const report = JSON.parse(out) as BenchReport
  expect(report).toMatchObject({ bench: 'sample', quick: true, raw: { quick: true } })
  expect(report.figures[0]).toMatchObject({ id: 'sample.size', value: 4, pass: true })
  expect(report.machine.cores).toBeGreaterThan(0)
  expect(report.commit).not.toBe('')
  expect(err).toContain('measuring')
  expect(process.exitCode).toBeUndefined()
})

test('a missed bar is data, and a failure only with --strict', async () => {
  await runBench(bench, ['--size', '2'])
  expect(out).toContain('missed')
  expect(process.exitCode).toBeUndefined()
  await runBench(bench, ['--size', '2', '--strict'])
  expect(process.exitCode).toBe(1)
})

test.each([
  [['--size', 'many'], '--size'],
  [['--unknown'], '--unknown'],
])('%j is refused with status 2', async (argv, said) => {
  await runBench(bench, argv)
  expect(out).toBe('')
  expect(err).toContain(said)
  expect(err).not.toContain('at ')
  expect(process.exitCode).toBe(2)
})

test('--help shows the flags and measures nothing', async () => {
  await runBench(bench, ['--help'])
  expect(out).toContain('--size N')
  expect(out).toContain('--quick')
  expect(err).toBe('')
})

test('countFlag() takes whole numbers from 1', () => {
  expect(countFlag({}, 'n', 7)).toBe(7)
  expect(countFlag({ n: '2' }, 'n', 7)).toBe(2)
  for (const text of ['0', '-1', '1.5', 'x'])
    expect(() => countFlag({ n: text }, 'n', 7)).toThrow(BenchUsageError)
})

test('--html writes a page beside the report, and says before measuring if it cannot', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'deos-bench-'))
  try {
    await runBench(bench, ['--html', join(folder, 'report.html')])
    expect(readFileSync(join(folder, 'report.html'), 'utf8')).toContain('sample.size')
    expect(out).toContain('sample.size')
    err = ''
    await runBench(bench, ['--html', join(folder, 'nowhere', 'report.html')])
    expect(err).toContain('cannot be written')
    expect(err).not.toContain('measuring')
    expect(process.exitCode).toBe(2)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
