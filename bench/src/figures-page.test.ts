import { expect, test } from 'vitest'
import { measuredFigure, skippedFigure } from './contract.ts'
import { renderFiguresPage } from './figures-page.ts'

test('a page names command, date, machine and whether each bar was reached', () => {
  const terms = { unit: 'ratio', better: 'higher', bar: 0.95 } as const
  const run = {
    date: '2026-01-02T03:04:05Z',
    reports: [
      {
        ...{ bench: 'engine', commit: 'abc123', quick: true, raw: {} },
        machine: { cpu: 'Some CPU', cores: 2, gpu: null },
        figures: [
          measuredFigure({ id: 'a', ...terms, samples: [0.9, 1.01234, 1.2] }),
          measuredFigure({ id: 'b', ...terms, samples: [0.5] }),
          skippedFigure({ id: 'c', ...terms, reason: 'no library' }),
        ],
      },
    ],
  }
  const page = renderFiguresPage([{ ...run, date: '2026-01-01T00:00:00Z' }, run])
  expect(page.match(/^## /gm)).toHaveLength(1)
  expect(page).toContain(
    '`npx deos bench engine --quick`, 2026-01-02, commit abc123, Some CPU, 2 cores, no GPU.',
  )
  expect(page).toContain('| `a` | 1.01 | 0.15 | ≥ 0.95 | 3 | reached |')
  expect(page).toContain('| `b` | 0.5 | 0 | ≥ 0.95 | 1 | missed |')
  expect(page).toContain('| `c` | skipped: no library |')
})
