import { expect, test } from 'vitest'
import { type BenchReport, measuredFigure, skippedFigure } from '../contract.ts'
import { reportPage } from './report-page.ts'

const report = (bench: string, raw: Readonly<Record<string, unknown>>): BenchReport => ({
  ...{ bench, commit: 'abc123', quick: false, raw },
  machine: { cpu: 'Some CPU', cores: 2, gpu: null },
  figures: [
    measuredFigure({ id: 'a.reached', unit: 'ratio', better: 'higher', bar: 2, samples: [3] }),
    measuredFigure({ id: 'b.missed', unit: 'ms', better: 'lower', bar: 10, samples: [20] }),
    skippedFigure({ id: 'c.skipped', unit: 'ms', better: 'lower', reason: 'no <library>' }),
  ],
})

test('a page has every figure, its verdict, and a bar for those that have one', () => {
  const html = reportPage([report('engine', {})])
  expect(html).toContain('1 of 2')
  expect(html).toMatch(/a\.reached.*3.*≥ 2.*reached/)
  expect(html).toMatch(/b\.missed.*20 ms.*≤ 10 ms.*missed/)
  expect(html).toContain('skipped: no &lt;library&gt;')
  expect(html).not.toContain('<library>')
  expect(html).not.toMatch(/(src|href)=/)
  expect(html.match(/<svg/g)).toHaveLength(1)
})

test('what lies behind the figures is drawn, and left out where it has another shape', () => {
  const point = { perplexityRatio: 1, name: 'l3.step', family: 'l3' }
  const curve = [
    { ...point, ratio: 10, meanKl: 0.001 },
    { ...point, ratio: 20, meanKl: 0.004 },
  ]
  const drawn = reportPage([report('kv', { codec: { ours: curve, others: [] } })])
  expect(drawn).toContain('Divergence by size')
  expect(drawn).toContain('l3.step: 20.00 times smaller, KL 0.0040')
  expect(reportPage([report('kv', { codec: { ours: 'none' } })])).not.toContain('Divergence by size')
})

test('predictions stand beside the middle of what was measured', () => {
  const each = { model: 'small', load: 'alone', predicted: { tpotP50Ms: 10, tokensPerSecond: 5 } }
  const measured = [8, 9, 30].map((tpotP50Ms) => ({ tpotP50Ms, tokensPerSecond: 6 }))
  const html = reportPage([report('calibrate', { compared: [{ ...each, measured }] })])
  expect(html).toContain('small, alone, tpotP50Ms')
  expect(html).toContain('small, alone, tokensPerSecond')
})

test('several reports have a heading each', () => {
  const html = reportPage([report('engine', {}), report('ring', {})])
  expect(html.match(/<h1/g)).toHaveLength(3)
})
