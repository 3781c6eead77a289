import fc from 'fast-check'
import { expect, test } from 'vitest'
import { externalAccount, revenueAccount } from './accounts.ts'
import { currency } from './money.ts'
import { imbalances, netPostings, posting } from './postings.ts'

const usd = currency('USD')
const eur = currency('EUR')
const a = externalAccount('a', usd)
const b = revenueAccount('b', usd)
const c = revenueAccount('c', eur)
const accounts = [a, b, c]
const somePostings = fc.array(
  fc
    .tuple(fc.constantFrom(...accounts), fc.bigInt({ min: -9n, max: 9n }))
    .map(([account, n]) => posting(account, n)),
)

test('netting keeps what each account gets, in one posting, whatever the order', () => {
  fc.assert(
    fc.property(somePostings, (postings) => {
      const net = netPostings(postings)
      for (const account of accounts) {
        const sum = postings.filter((p) => p.account === account).reduce((s, p) => s + p.micros, 0n)
        expect(net.filter((p) => p.account === account)).toEqual(sum === 0n ? [] : [posting(account, sum)])
      }
      expect(netPostings([...postings].reverse())).toEqual(net)
    }),
  )
})

test('each currency balances for itself', () => {
  expect(imbalances([posting(a, 5n), posting(b, -5n)]).size).toBe(0)
  expect([...imbalances([posting(a, 5n), posting(c, -5n)])]).toEqual([
    ['money in USD', 5n],
    ['money in EUR', -5n],
  ])
})
