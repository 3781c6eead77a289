import { expect, test } from 'vitest'
import { fail, failedCheck, formatFindings, ok, warn } from './finding.ts'
import { processorFeatures } from './processor.ts'

test('instruction sets are read from either spelling of /proc/cpuinfo', () => {
  expect(processorFeatures('processor : 0\nflags\t\t: fpu avx2 f16c fma avx512f\n')).toEqual([
    'AVX2',
    'F16C',
    'FMA',
    'AVX-512',
  ])
  expect(processorFeatures('Features\t: fp asimd asimddp i8mm\n')).toEqual(['dot product', 'I8MM'])
  expect(processorFeatures('nothing')).toEqual([])
})

test('findings show their remedy, and the verdict follows the worst', () => {
  const findings = [ok('node', 'v20'), warn('port', 'taken', 'Choose another.')]
  expect(formatFindings(findings)).toBe(
    '✓ node  v20\n! port  taken\n        → Choose another.\n\nDeOS runs here, with the limits marked above.',
  )
  expect(formatFindings([fail('node', 'old', 'Update.')])).toContain('1 problem keeps DeOS from running.')
  expect(formatFindings([ok('node', 'v20')])).toContain('DeOS runs here.')
})

test('a check that throws becomes a finding', () => {
  expect(failedCheck('disk', new Error('EIO'))).toMatchObject({ status: 'fail', message: 'EIO' })
})
