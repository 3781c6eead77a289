import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CommandError, EXIT_FAILURE, UsageError } from '../cli-error.ts'
import type { Output } from '../output.ts'
import { packageRoot } from '../package-root.ts'
import { closest } from '../text/closest.ts'

const benchFolder = join(packageRoot, 'dist', 'bench')

/** Names of the benches that the build made. */
export function listBenches(folder = benchFolder): readonly string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => name.endsWith('.mjs'))
    .map((name) => name.slice(0, -'.mjs'.length))
    .sort()
}

interface BenchRun {
  readonly code: number
  /** Its standard output, where it was captured. */
  readonly stdout: string
}

function runBench(name: string, flags: readonly string[], capture: boolean): Promise<BenchRun> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(benchFolder, `${name}.mjs`), ...flags], {
      stdio: ['inherit', capture ? 'pipe' : 'inherit', 'inherit'],
      cwd: packageRoot,
    })
    const chunks: Buffer[] = []
    child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.on('error', reject)
    child.on('close', (code) =>
      resolve({ code: code ?? EXIT_FAILURE, stdout: Buffer.concat(chunks).toString() }),
    )
  })
}

/** Runs one bench, every bench, or lists them. @throws UsageError for a name that is none */
export async function bench(name: string | null, flags: readonly string[], output: Output): Promise<void> {
  const known = listBenches()
  if (known.length === 0) {
    throw new CommandError(
      `There is no bench in ${benchFolder}.`,
      `Run "npm run build" in ${packageRoot} first.`,
    )
  }
  if (name === null) {
    output.result(known, () => [...known, 'all'].map((each) => `deos bench ${each}`).join('\n'))
    return
  }
  if (name === 'all') {
    await runAll(known, flags, output)
    return
  }
  if (!known.includes(name)) {
    const near = closest(name, [...known, 'all'])
    throw new UsageError(
      `There is no bench "${name}".`,
      `${near === null ? '' : `Did you mean "${near}"? `}There are ${[...known, 'all'].join(', ')}.`,
    )
  }
  const { code } = await runBench(name, output.json ? [...flags, '--json'] : flags, false)
  process.exitCode = code
}

interface CollectedReports {
  readonly date: string
  readonly reports: readonly unknown[]
  /** Benches that did not finish, with their exit codes. */
  readonly failed: Readonly<Record<string, number>>
}

async function runAll(names: readonly string[], flags: readonly string[], output: Output): Promise<void> {
  const reports: unknown[] = []
  const failed: Record<string, number> = {}
  for (const name of names) {
    output.note(`bench ${name}`)
    const { code, stdout } = await runBench(name, [...flags, '--json'], true)
    if (code === 0 || stdout.startsWith('{')) reports.push(JSON.parse(stdout))
    if (code !== 0) failed[name] = code
  }
  const collected: CollectedReports = { date: new Date().toISOString(), reports, failed }
  const folder = join(packageRoot, 'bench', 'results')
  mkdirSync(folder, { recursive: true })
  const path = join(folder, `${collected.date.slice(0, 10)}.json`)
  writeFileSync(path, `${JSON.stringify(collected, null, 2)}\n`)
  output.result({ path, ...collected }, () => `${reports.length} of ${names.length} reports are in ${path}.`)
  if (Object.keys(failed).length > 0) process.exitCode = EXIT_FAILURE
}
