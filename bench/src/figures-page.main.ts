import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type CollectedReports, lastReports, renderFiguresPage } from './figures-page.ts'
import { reportPage } from './report/report-page.ts'

const html = pictureFile()

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const folder = join(root, 'bench', 'results')
const names = readdirSync(folder)
  .filter((name) => /^\d{4}-\d{2}-\d{2}\.json$/.test(name))
  .sort()
if (names.length === 0) {
  process.stderr.write(`There are no results in ${folder}. Run "npx deos bench all" first.\n`)
  process.exit(1)
}
const runs = names.map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as CollectedReports)
const page = join(root, 'docs', 'benchmarks.md')
writeFileSync(page, renderFiguresPage(runs))
process.stdout.write(`${page} shows ${names.join(', ')}.\n`)
if (html !== undefined) {
  writeFileSync(html, reportPage(lastReports(runs).map(({ report }) => report)))
  process.stdout.write(`${html} has the pictures.\n`)
}

function pictureFile(): string | undefined {
  try {
    return parseArgs({ options: { html: { type: 'string' } } }).values.html
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\nUsage: npm run figures [-- --html FILE]\n`)
    process.exit(2)
  }
}
