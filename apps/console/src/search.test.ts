import { expect, test } from 'vitest'
import { signInSearch } from './search.ts'

test.each([
  ['/billing', '/billing'],
  ['/machines?state=ready', '/machines?state=ready'],
  ['/sign-in', undefined],
  ['/sign-in?to=%2Fsign-in', undefined],
  ['//evil.example', undefined],
  ['https://evil.example', undefined],
  ['/\\evil.example', undefined],
  ['', undefined],
  [7, undefined],
])('after signing in, %j leads to %j', (to, place) => {
  expect(signInSearch({ to })).toEqual({ to: place })
})
