import { cards, escapeHtml, htmlTable, page, section } from '@deos/report'
import type { BenchReport, Figure } from '../contract.ts'
import { calibratePictures } from './calibrate-pictures.ts'
import { figurePictures } from './figure-pictures.ts'
import { kvPictures } from './kv-pictures.ts'
import { pdPictures } from './pd-pictures.ts'
import { phasePictures, servingPictures, trainingPictures } from './plan-pictures.ts'
import { simPictures } from './sim-pictures.ts'

/** Pictures of what lies behind the figures, from `raw`; nothing where it has not that shape. */
const pictures: Readonly<Record<string, readonly ((raw: unknown) => string)[]>> = {
  plan: [trainingPictures, servingPictures, phasePictures],
  sim: [simPictures],
  calibrate: [calibratePictures],
  kv: [kvPictures],
  pd: [pdPictures],
}

/** Reports as one page with pictures that needs nothing but itself. */
export function reportPage(reports: readonly BenchReport[]): string {
  const [only] = reports
  const title = reports.length === 1 && only !== undefined ? `deos bench ${only.bench}` : 'deos bench'
  return page(title, reports.map((report) => reportBody(report, reports.length > 1)).join(''))
}

function reportBody(report: BenchReport, titled: boolean): string {
  const { bench, commit, machine, quick, figures, raw } = report
  const held = figures.filter(({ pass }) => pass !== null)
  const body = [
    `<p class="soft">${escapeHtml(`${quick ? 'Quick run, c' : 'C'}ommit ${commit}, ${machine.cpu}, ${machine.cores} cores, ${machine.gpu ?? 'no GPU'}.`)}</p>`,
    cards([
      { name: 'figures', value: String(figures.length) },
      { name: 'bars reached', value: `${held.filter(({ pass }) => pass).length} of ${held.length}` },
      { name: 'skipped', value: String(figures.filter(({ value }) => value === null).length) },
    ]),
    ...(pictures[bench] ?? []).map((draw) => draw(raw)),
    figurePictures(report),
    section('All figures', htmlTable(['figure', 'value>', '± iqr>', 'bar>', 'n>', ''], figures.map(cells))),
  ].join('')
  return titled ? `<h1 style="margin-top:3rem">${escapeHtml(bench)}</h1>${body}` : body
}

function cells({ id, value, unit, spread, bar, better, pass, n, reason }: Figure): readonly string[] {
  const suffix = unit === 'ratio' ? '' : ` ${unit}`
  return [
    id,
    value === null ? '–' : `${short(value)}${suffix}`,
    spread === null ? '' : short(spread),
    bar === null ? '' : `${better === 'higher' ? '≥' : '≤'} ${short(bar)}${suffix}`,
    String(n),
    value === null ? `skipped: ${reason ?? ''}` : pass === null ? '' : pass ? 'reached' : 'missed',
  ]
}

const short = (value: number): string => String(Number(value.toPrecision(3)))
