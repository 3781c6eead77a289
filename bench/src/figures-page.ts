import type { BenchReport, Figure } from './contract.ts'

/** What `deos bench all` writes, or reports put together by hand. */
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
  'control-plane':
    'One control plane with its embedded database, 1,000 simulated machines that heartbeat, 200 deployments and 20 API reads a second: its share of a core, the reads’ latency, and how long rings are short after 20 machines at once are killed.',
  gateway:
    'What the gateway adds to an upstream that answers at once, and requests a second beside Portkey’s gateway in turn.',
  transport:
    'What a hop over our links costs beyond plain TCP on loopback, and bytes for each second of CPU.',
  wan: 'Whether the emulated network is what its profile says; and a ring of four workers over four AWS regions: one session beside compute and one-way delays added up, many sessions beside the same ring without delays.',
  pd: 'Prompts computed by one ring and continued by another over emulated links: the time that the transfer shows, beside what its last layer and one block need; and the volume between regions over a real trace.',
  calibrate:
    'The simulator, told only what each worker takes for each kind of step, beside what a ring of four unequal workers does under four loads; `raw` has predictions beside every figure.',
  sim: 'The simulator’s speed, and its error against the published rows of Helix’s simulator and prototype.',
  plan: 'Plans for training and serving beside published planners, judged by their own cost figures.',
  ring: 'A ring of worker processes on loopback, one thread each, beside the same engine in one process with as many threads; what a hop costs beyond the engines’ own time; and a worker’s resident memory, both its processes, beyond its layers and KV budget (negative while part of the budget was never used).',
}

export interface DatedReport {
  readonly report: BenchReport
  readonly day: string
}

/**
 * Of each bench its last report.
 *
 * @param runs - in the order of their dates
 */
export function lastReports(runs: readonly CollectedReports[]): readonly DatedReport[] {
  const last = new Map<string, DatedReport>()
  for (const { date, reports } of runs) {
    for (const report of reports) last.set(report.bench, { report, day: date.slice(0, 10) })
  }
  return [...last.values()]
}

/**
 * The page of measured figures.
 *
 * @param runs - in the order of their dates
 */
export function renderFiguresPage(runs: readonly CollectedReports[]): string {
  const parts = lastReports(runs).map(({ report, day }) => renderBench(report, day))
  return `# Measured figures

Written by \`npm run figures\` from \`bench/results\`, of each bench the last report; the JSON, as \`npx deos bench all\` writes
it, holds every measurement; \`npm run figures -- --html FILE\` draws it. A figure is the median of n interleaved pairs or runs, ± the interquartile range. Ratios carry
over to other machines better than times do.

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
