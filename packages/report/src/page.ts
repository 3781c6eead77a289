/** A page that needs nothing but itself: styles and pictures inside, light and dark, on any width. */

export const escapeHtml = (text: string): string =>
  text.replace(
    /[&<>"']/g,
    (char) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[char] ?? char,
  )

const css = `
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5c6775;--paper:#fff;--card:#f4f6f9;--line:#d5dbe3;
--c0:#2f6fde;--c1:#d9822b;--c2:#2e9e6b;--c3:#a24cc8;--c4:#c8433f;--c5:#0f9bb3;--c6:#8a7a1f;--c7:#b0447f}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf2;--soft:#9aa6b5;--paper:#12161c;--card:#1b212a;--line:#323b47;
--c0:#6ea3ff;--c1:#f0a35a;--c2:#56cc97;--c3:#cf8bea;--c4:#f0807c;--c5:#4fcbe0;--c6:#cdbb55;--c7:#e787b9}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:72rem;margin:0 auto;padding:1.5rem 1rem 4rem}h1{font-size:1.5rem;margin:0 0 .25rem}
h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.25rem 0}.soft{color:var(--soft)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.75rem;margin:1rem 0}
.card{background:var(--card);border-radius:.6rem;padding:.7rem .9rem}.card b{display:block;font-size:1.25rem}
.card small{color:var(--soft)}.wide{overflow-x:auto}figure{margin:0 0 1rem}
svg{display:block;width:100%;height:auto;min-width:34rem}svg text{fill:var(--ink);font:11px system-ui,sans-serif}
svg .soft{fill:var(--soft)}table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);white-space:nowrap}
td.n,th.n{text-align:right}li{margin:.2rem 0}.key{display:flex;flex-wrap:wrap;gap:.3rem 1rem;color:var(--soft);font-size:.85rem}
.key i{display:inline-block;width:.8em;height:.8em;border-radius:.2em;margin-right:.35em}
@media print{body{background:#fff}}`

export interface Card {
  readonly name: string
  readonly value: string
  readonly more?: string
}

export const cards = (list: readonly Card[]): string =>
  `<div class="cards">${list
    .map(
      ({ name, value, more }) =>
        `<div class="card"><small>${escapeHtml(name)}</small><b>${escapeHtml(value)}</b>${more === undefined ? '' : `<small>${escapeHtml(more)}</small>`}</div>`,
    )
    .join('')}</div>`

export const section = (title: string, body: string): string =>
  body === '' ? '' : `<section><h2>${escapeHtml(title)}</h2>${body}</section>`

export const bullets = (lines: readonly string[]): string =>
  lines.length === 0 ? '' : `<ul>${lines.map((line) => `<li>${escapeHtml(line)}</li>`).join('')}</ul>`

/** Columns whose title ends in `>` are of numbers. */
export function htmlTable(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const isNumber = titles.map((title) => title.endsWith('>'))
  const cell = (tag: 'th' | 'td', text: string, at: number) =>
    `<${tag}${isNumber[at] ? ' class="n"' : ''}>${escapeHtml(text)}</${tag}>`
  const head = titles.map((title, at) => cell('th', title.replace(/>$/, ''), at)).join('')
  const body = rows.map((row) => `<tr>${row.map((text, at) => cell('td', text, at)).join('')}</tr>`).join('')
  return `<div class="wide"><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`
}

export const page = (title: string, body: string): string =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escapeHtml(title)}</title><style>${css}</style></head><body><main><h1>${escapeHtml(title)}</h1>${body}</main></body></html>\n`
