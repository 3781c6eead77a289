import fc from 'fast-check'
import { expect, test } from 'vitest'
import { StopStrings } from './stop-strings.ts'

/** Looks at every prefix of the text, as a reader of single characters would. */
function naiveSearch(text: string, stops: readonly string[]): { text: string; stop: string | null } {
  for (let end = 1; end <= text.length; end += 1) {
    const ending = stops.filter((stop) => text.slice(0, end).endsWith(stop))
    const stop = ending.sort((a, b) => b.length - a.length)[0]
    if (stop !== undefined) return { text: text.slice(0, end - stop.length), stop }
  }
  return { text, stop: null }
}

function streamed(pieces: readonly string[], stops: readonly string[]) {
  const matcher = new StopStrings(stops)
  const parts: string[] = []
  for (const piece of pieces) {
    const { text, stop } = matcher.push(piece)
    parts.push(text)
    if (stop !== null) return { parts, stop }
  }
  return { parts: [...parts, matcher.flush()], stop: null }
}

test('finds what naive search finds, however the text is cut', () => {
  const letters = (maxLength: number) => fc.string({ unit: fc.constantFrom('a', 'b', '😀'), maxLength })
  const stops = fc.array(
    letters(5).filter((stop) => stop !== ''),
    { maxLength: 4 },
  )
  fc.assert(
    fc.property(fc.array(letters(6), { maxLength: 12 }), stops, (pieces, given) => {
      const { parts, stop } = streamed(pieces, given)
      const expected = naiveSearch(pieces.join(''), given)
      expect({ text: parts.join(''), stop }).toEqual(expected)
      for (const part of parts) expect(part).not.toMatch(/\p{Surrogate}/u)
    }),
    { numRuns: 1000 },
  )
})

test('holds back no more than may become a stop string', () => {
  const matcher = new StopStrings(['\n\nUser:', 'END'])
  expect(matcher.push('Hello\n')).toEqual({ text: 'Hello', stop: null })
  expect(matcher.push('\nUse')).toEqual({ text: '', stop: null })
  expect(matcher.push('ful')).toEqual({ text: '\n\nUseful', stop: null })
  expect(matcher.push('. E')).toEqual({ text: '. ', stop: null })
  expect(matcher.push('ND of')).toEqual({ text: '', stop: 'END' })
})

test('of overlapping stop strings the one that ends first counts, then the longest', () => {
  expect(streamed(['xabcd'], ['abcd', 'bc'])).toEqual({ parts: ['xa'], stop: 'bc' })
  expect(streamed(['xabc'], ['c', 'abc', 'bc'])).toEqual({ parts: ['x'], stop: 'abc' })
})

test('text that was held back comes out at the end', () => {
  expect(streamed(['aab'], ['aabb'])).toEqual({ parts: ['', 'aab'], stop: null })
})

test('without stop strings everything passes', () => {
  expect(streamed(['a', ''], [])).toEqual({ parts: ['a', '', ''], stop: null })
})

test('an empty stop string and half a character are refused, as is text after the end', () => {
  expect(() => new StopStrings([''])).toThrow(RangeError)
  expect(() => new StopStrings(['\ud83d'])).toThrow(RangeError)
  const matcher = new StopStrings(['a'])
  matcher.push('a')
  expect(() => matcher.push('b')).toThrow('after a stop string')
})
