import { escapeHtml } from './page.ts'

export const colour = (at: number): string => `var(--c${at % 8})`

export const key = (entries: readonly (readonly [name: string, colour: string])[]): string =>
  `<p class="key">${entries.map(([name, fill]) => `<span><i style="background:${fill}"></i>${escapeHtml(name)}</span>`).join('')}</p>`

export const figure = (svg: string, legend = ''): string =>
  `<figure><div class="wide">${svg}</div>${legend}</figure>`

interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

const n = (value: number): string => String(Math.round(value * 100) / 100)

/** @param title - what a pointer that rests on it is told */
export const rect = ({ x, y, width, height }: Box, fill: string, title = '', more = ''): string =>
  `<rect x="${n(x)}" y="${n(y)}" width="${n(Math.max(0, width))}" height="${n(height)}" fill="${fill}" ${more}>${title === '' ? '' : `<title>${escapeHtml(title)}</title>`}</rect>`

export const label = (x: number, y: number, text: string, more = ''): string =>
  `<text x="${n(x)}" y="${n(y)}" ${more}>${escapeHtml(text)}</text>`

export const svg = (width: number, height: number, name: string, body: string): string =>
  `<svg viewBox="0 0 ${n(width)} ${n(height)}" role="img" aria-label="${escapeHtml(name)}">${body}</svg>`
