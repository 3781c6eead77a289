import type { BenchReport, Figure } from './contract.ts'

/** The report as a table for people. */
export function renderReport(report: BenchReport): string {
  const { bench, commit, machine, quick, figures } = report
  const device = machine.gpu === null ? '' : `, ${machine.gpu}`
  const title = `${bench} at ${commit} on ${machine.cpu}, ${machine.cores} cores${device}${quick ? ' (quick)' : ''}`
  const rows = [['figure', 'value', '± iqr', 'bar', 'n', ''], ...figures.map(cells)]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const lines = rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
      .join('  '),
  )
  return `${[title, '', ...lines.map((line) => line.trimEnd()), ...reasons(figures)].join('\n')}\n`
}

function cells(figure: Figure): string[] {
  const { id, value, spread, bar, better, pass, n, unit } = figure
  const bound = bar === null ? '' : `${better === 'higher' ? '≥' : '≤'} ${formatNumber(bar)}`
  const verdict = value === null ? 'skipped' : pass === null ? '' : pass ? 'ok' : 'missed'
  const shown = value === null ? '–' : `${formatNumber(value)}${unit === 'ratio' ? '' : ` ${unit}`}`
  return [id, shown, spread === null ? '' : formatNumber(spread), bound, String(n), verdict]
}

function reasons(figures: readonly Figure[]): string[] {
  const byReason = new Map<string, number>()
  for (const { reason } of figures) if (reason) byReason.set(reason, (byReason.get(reason) ?? 0) + 1)
  return [...byReason].map(
    ([reason, count], index) => `${index === 0 ? '\n' : ''}${count} skipped: ${reason}`,
  )
}

function formatNumber(value: number): string {
  const magnitude = Math.abs(value)
  return magnitude >= 100 ? value.toFixed(0) : magnitude >= 10 ? value.toFixed(1) : value.toFixed(3)
}
