import { expect, test } from 'vitest'
import { measuredFigure, skippedFigure } from './contract.ts'
import { renderReport } from './render-report.ts'

test('a report shows values, bars, verdicts and reasons', () => {
  const text = renderReport({
    bench: 'engine',
    commit: 'abc',
    machine: { cpu: 'Some CPU', cores: 2, gpu: null },
    quick: true,
    figures: [
      measuredFigure({ id: 'a.b', unit: 'ratio', better: 'higher', bar: 0.95, samples: [0.9, 0.91, 0.92] }),
      measuredFigure({ id: 'a.c', unit: 'tokens/s', better: 'higher', samples: [123.4] }),
      skippedFigure({ id: 'a.d', unit: 'ratio', better: 'higher', reason: 'no GPU' }),
    ],
    raw: {},
  })
  expect(text).toBe(
    [
      'engine at abc on Some CPU, 2 cores (quick)',
      '',
      'figure         value  ± iqr      bar  n',
      'a.b            0.910  0.010  ≥ 0.950  3   missed',
      'a.c     123 tokens/s  0.000           1',
      'a.d                –                  0  skipped',
      '',
      '1 skipped: no GPU',
      '',
    ].join('\n'),
  )
})
