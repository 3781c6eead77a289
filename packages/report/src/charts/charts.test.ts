import { expect, test } from 'vitest'
import { placeAxis } from './axis.ts'
import { barChart, groupedBarChart } from './bar-chart.ts'
import { lineChart } from './line-chart.ts'

test('a logarithmic axis gives equal ratios equal distances, a linear one begins at 0', () => {
  const log = placeAxis({ title: '', log: true }, [1, 100], [0, 200])
  expect(log.at(10)).toBeCloseTo(100)
  const linear = placeAxis({ title: '' }, [50, 100], [0, 200])
  expect(linear.at(0)).toBe(0)
  expect(linear.at(100)).toBeCloseTo(200)
  expect(linear.ticks.map(({ text }) => text)).toContain('20')
})

test.each([
  [[], false],
  [[], true],
  [[3], false],
  [[3], true],
  [[0, 0], false],
  [[-1, 5], false],
  [[0, 1e-5, 2e9], true],
])('an axis over %j (logarithmic: %s) has finite places and at most ten ticks', (values, log) => {
  const axis = placeAxis({ title: '', log }, values, [10, 500])
  expect(axis.ticks.length).toBeLessThanOrEqual(10)
  for (const { at, text } of axis.ticks) {
    expect(at).toSatisfy(Number.isFinite)
    expect(text).not.toContain('NaN')
  }
  for (const value of values.filter((each) => !log || each > 0))
    expect(axis.at(value)).toSatisfy(Number.isFinite)
})

test('lines leave out what a logarithmic axis has no place for, and escape names', () => {
  const html = lineChart({
    name: 'a <chart>',
    x: { title: 'x', log: true },
    y: { title: 'y', log: true },
    series: [
      {
        name: 'a & b',
        points: [
          { x: 0, y: 1 },
          { x: 1, y: 1 },
          { x: 10, y: 100, title: 'last' },
        ],
      },
    ],
    across: [{ y: 50, title: 'bar' }],
  })
  expect(html.match(/<rect/g)).toHaveLength(2)
  expect(html).toContain('a &amp; b')
  expect(html).toContain('a &lt;chart&gt;')
  expect(html).not.toMatch(/NaN|Infinity/)
})

test('bars are as long as their values, and marks stand where they are to reach', () => {
  const rows = [
    { name: 'one', value: 1, text: '1', colour: 0, mark: 2 },
    { name: 'two', value: 2, text: '2', colour: 0 },
  ]
  const html = barChart('bars', { title: 'x' }, rows)
  const widths = [...html.matchAll(/<rect [^>]*width="([\d.]+)"[^>]*rx="2"/g)].map((match) =>
    Number(match[1]),
  )
  expect(widths[1]! / widths[0]!).toBeCloseTo(2)
  expect(html).toContain('bar 2')
})

test('names are written beside bars, not over the edge, and long ones lose their beginning', () => {
  const rows = ['short', 'a.name.of.thirty.six.letters.in.full', `x${'.long'.repeat(20)}`].map((name) => ({
    ...{ name, value: 1, text: '1', colour: 0 },
  }))
  const html = barChart('bars', { title: 'x' }, rows)
  expect(html).toContain('a.name.of.thirty.six.letters.in.full<')
  expect(html).toMatch(/>…[.long]{37}</)
  const [end] = [...html.matchAll(/<text x="([\d.]+)"[^>]*text-anchor="end"/g)].map((match) =>
    Number(match[1]),
  )
  expect(end).toBeGreaterThan(38 * 6)
})

test('groups have a bar for each value that is there', () => {
  const html = groupedBarChart(
    'groups',
    { title: 's', log: true },
    ['ours', 'theirs'],
    [
      { name: 'case', values: [1.5, null] },
      { name: 'other', values: [3, 30] },
    ],
  )
  expect(html.match(/<rect/g)).toHaveLength(3)
  expect(html).toContain('case, ours: 1.5')
  expect(html).not.toMatch(/NaN|Infinity/)
})
