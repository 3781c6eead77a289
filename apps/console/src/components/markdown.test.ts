import { createElement } from 'react'
import { renderToStaticMarkup } from 'react-dom/server'
import { expect, test } from 'vitest'
import { Markdown } from './markdown.tsx'

const shown = (text: string): string => renderToStaticMarkup(createElement(Markdown, { text }))

test('headings of an answer are below the first two of its page', () => {
  const text = ['#', '##', '###', '####', '#####', '######'].map((mark) => `${mark} x`).join('\n\n')
  const levels = [...shown(text).matchAll(/<h(\d)>/g)].map(([, level]) => level)
  expect(levels).toEqual(['3', '4', '5', '6', '6', '6'])
})

test('raw HTML stays text, and neither scripts nor pictures are fetched', () => {
  const page = shown('<b>bold</b> [go](javascript:alert(1)) ![a cat](https://example.org/cat.png)')
  expect(page).toContain('&lt;b&gt;')
  expect(page).not.toContain('javascript:')
  expect(page).not.toContain('<img')
  expect(page).toContain('[a cat]')
})
