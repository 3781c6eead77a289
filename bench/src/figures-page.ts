import type { BenchReport, Figure } from './contract.ts'

/** What `deos bench all` writes. */
export interface CollectedReports {
  readonly date: string
  readonly reports: readonly BenchReport[]
}

const what: Readonly<Record<string, string>> = {
  engine:
    'Our engine beside llama.cpp (libllama of the same release, the same kernels), same file, threads and context, in interleaved pairs. A ratio above 1 means ours is faster. The share of memory bandwidth is that of a plain scan with `memchr` by the same threads, right beside the decode run.',
  serve:
    'Streamed completions over HTTP beside llama.cpp’s server on the same kernels, file, threads and KV type, and beside DeOS without prefix cache or chunked prefill; same requests, in turn. For throughput above 1 is faster, for latencies below 1.',
  kv: 'The embedded model over held-out text with its KV in fewer bits: perplexity and the likeliest token beside F16, and the size.',
  soak: 'Random requests, cancels and memory pressure against the embedded model, greedy answers checked against runs alone; memory is that of all processes together.',
  ring: 'A ring of worker processes on loopback, one thread each, beside the same engine in one process with as many threads; what a hop costs beyond the engines’ own time; and a worker’s resident memory, both its processes, beyond its layers and KV budget (negative while part of the budget was never used).',
}

/** The page of measured figures, from one run of all benches. */
export function renderFiguresPage({ date, reports }: CollectedReports): string {
  const day = date.slice(0, 10)
  const parts = reports.map((report) => renderBench(report, day))
  return `# Measured figures

Written by \`npm run figures\` from \`bench/results/${day}.json\`, which \`npx deos bench all\` writes; the JSON holds every
measurement. A figure is the median of n interleaved pairs or runs, ± the interquartile range. Ratios carry over to other
machines better than times do.

${parts.join('\n')}`
}

function renderBench({ bench, commit, machine, quick, figures }: BenchReport, day: string): string {
  const command = `npx deos bench ${bench}${quick ? ' --quick' : ''}`
  const device = machine.gpu ?? 'no GPU'
  const rows = figures.map(renderFigure)
  return `## ${bench}

${what[bench] ?? ''}

\`${command}\`, ${day}, commit ${commit}, ${machine.cpu}, ${machine.cores} cores, ${device}.

| figure | value | ± | bar | n | |
| --- | ---: | ---: | ---: | ---: | --- |
${rows.join('\n')}
`
}

function renderFigure(figure: Figure): string {
  const { id, value, unit, spread, bar, better, pass, n, reason } = figure
  const suffix = unit === 'ratio' ? '' : ` ${unit}`
  const shown = value === null ? `skipped: ${reason ?? ''}` : `${round(value)}${suffix}`
  const bound = bar === null ? '' : `${better === 'higher' ? '≥' : '≤'} ${bar}${suffix}`
  const verdict = pass === null ? '' : pass ? 'reached' : 'missed'
  return `| \`${id}\` | ${shown} | ${spread === null ? '' : round(spread)} | ${bound} | ${n} | ${verdict} |`
}

const round = (value: number): string => String(Number(value.toPrecision(3)))
