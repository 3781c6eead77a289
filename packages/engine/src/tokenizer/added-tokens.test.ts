import { expect, test } from 'vitest'
import { type AddedToken, AddedTokenSplitter } from './added-tokens.ts'

const token = (content: string, changes: Partial<AddedToken> = {}): AddedToken => ({
  id: 1,
  content,
  special: true,
  singleWord: false,
  leftStrip: false,
  rightStrip: false,
  normalized: false,
  ...changes,
})

function split(text: string, ...tokens: AddedToken[]): string[] {
  const sections = new AddedTokenSplitter(tokens, ({ content }) => content).split(text)
  return sections.map((section) => (section.token ? `[${section.text}]` : section.text))
}

test('cuts at the leftmost token, the longest of those that start together', () => {
  expect(split('a<|x|>b<|x|>>c', token('<|x|>'), token('<|x|>>'))).toEqual([
    'a',
    '[<|x|>]',
    'b',
    '[<|x|>>]',
    'c',
  ])
  expect(split('<|x|><|x|>', token('<|x|>'))).toEqual(['[<|x|>]', '[<|x|>]'])
})

test('texts without tokens stay whole, empty ones vanish', () => {
  expect(split('abc', token('x'))).toEqual(['abc'])
  expect(split('abc')).toEqual(['abc'])
  expect(split('')).toEqual([])
  expect(split('', token('x'))).toEqual([])
})

test('contents are taken literally', () => {
  expect(split('a.*+?^{}$()|[]\\/b', token('.*+?^{}$()|[]\\/'))).toEqual(['a', '[.*+?^{}$()|[]\\/]', 'b'])
})

test('takes whitespace along, as Unicode and not as JavaScript knows it', () => {
  expect(split('a \u0085 X \n b', token('X', { leftStrip: true, rightStrip: true }))).toEqual([
    'a',
    '[X]',
    'b',
  ])
  expect(split('a\ufeffX\ufeff', token('X', { leftStrip: true, rightStrip: true }))).toEqual([
    'a\ufeff',
    '[X]',
    '\ufeff',
  ])
})

test('a single word is matched only where no word touches it', () => {
  const single = token('ab', { singleWord: true })
  expect(split('ab xab abx ab, 𝐚ab é ab', single)).toEqual(['[ab]', ' xab abx ', '[ab]', ', 𝐚ab é ', '[ab]'])
})
