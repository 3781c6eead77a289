import { writeFileSync } from 'node:fs'
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { DomainError, describeError } from '@deos/domain'
import type { BenchReport, Figure } from './contract.ts'
import { currentCommit, describeMachine } from './machine.ts'
import { renderReport } from './render-report.ts'
import { reportPage } from './report/report-page.ts'

type OptionTable = NonNullable<ParseArgsConfig['options']>
type Values = Readonly<Record<string, string | boolean | undefined | (string | boolean)[]>>

export interface BenchContext {
  readonly quick: boolean
  /** Parsed flags of this bench. */
  readonly values: Values
  /** A line for whoever waits; goes to stderr. */
  progress(line: string): void
}

export interface BenchDefinition {
  readonly name: string
  /** Flags beside the common ones, for `parseArgs`. */
  readonly options: OptionTable
  /** Lines for `--help`, without the common flags. */
  readonly usage: string
  run(context: BenchContext): Promise<{
    readonly figures: readonly Figure[]
    readonly raw: Readonly<Record<string, unknown>>
    readonly gpu?: string | null
  }>
}

export class BenchUsageError extends DomainError {
  readonly code = 'BENCH_USAGE'
  readonly retriable = false
}

const commonOptions = {
  json: { type: 'boolean' },
  html: { type: 'string' },
  quick: { type: 'boolean' },
  strict: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} satisfies OptionTable

const commonUsage = `  --json       print one JSON object instead of a table
  --html FILE  also write a page with pictures, which needs nothing but itself
  --quick      fewer and shorter measurements, about a minute
  --strict     exit with status 1 if a figure misses its bar
  -h, --help   this text`

/**
 * Parses flags, runs a bench and prints its report to stdout, progress to stderr. The exit code is 0 also when a
 * figure misses its bar, for a report is data, unless `--strict`; 2 if the bench could not run.
 */
export async function runBench(bench: BenchDefinition, argv = process.argv.slice(2)): Promise<void> {
  try {
    const values = parseFlags(bench, argv)
    if (values.help) {
      process.stdout.write(`deos bench ${bench.name}\n\n${bench.usage}\n${commonUsage}\n`)
      return
    }
    // Before minutes of measuring: the file is there, or cannot be.
    if (values.html !== undefined) writePage(String(values.html), '')
    const report = await measure(bench, values)
    if (values.html !== undefined) writePage(String(values.html), reportPage([report]))
    process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : renderReport(report))
    if (values.strict && report.figures.some((figure) => figure.pass === false)) process.exitCode = 1
  } catch (error) {
    process.stderr.write(
      `${error instanceof DomainError ? describeError(error) : String((error as Error).stack)}\n`,
    )
    process.exitCode = 2
  }
}

function writePage(path: string, text: string): void {
  try {
    writeFileSync(path, text)
  } catch (error) {
    throw new BenchUsageError(
      `${path} cannot be written: ${(error as Error).message}`,
      'Give --html a file in a folder that exists.',
      { cause: error },
    )
  }
}

function parseFlags(bench: BenchDefinition, args: string[]): Values {
  try {
    return parseArgs({ args, options: { ...bench.options, ...commonOptions }, allowPositionals: false })
      .values
  } catch (error) {
    throw new BenchUsageError((error as Error).message, `See "deos bench ${bench.name} --help".`, {
      cause: error,
    })
  }
}

async function measure(bench: BenchDefinition, values: Values): Promise<BenchReport> {
  const quick = values.quick === true
  const started = performance.now()
  const progress = (line: string) => {
    const seconds = ((performance.now() - started) / 1000).toFixed(0).padStart(4)
    process.stderr.write(`${seconds} s  ${line}\n`)
  }
  const { figures, raw, gpu } = await bench.run({ quick, values, progress })
  return { bench: bench.name, commit: currentCommit(), machine: describeMachine(gpu), quick, figures, raw }
}

/** A whole number from `--flag`, or its default. */
export function countFlag(values: Values, flag: string, fallback: number): number {
  const text = values[flag]
  if (text === undefined) return fallback
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1) {
    throw new BenchUsageError(
      `--${flag} is a whole number from 1, not "${String(text)}".`,
      'Leave it out for the default.',
    )
  }
  return count
}
