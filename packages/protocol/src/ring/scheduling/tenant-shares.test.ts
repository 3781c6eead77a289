import { expect, test } from 'vitest'
import { TenantShares } from './tenant-shares.ts'

test('who comes while others are served begins where the least served is', () => {
  const shares = new TenantShares()
  shares.enter('a').service += 100
  shares.enter('b').service += 40
  expect(shares.enter('c').service).toBe(100)
  expect(shares.enter('a').sessions).toBe(2)
})

test('idling earns nothing, and being ahead is remembered', () => {
  const shares = new TenantShares()
  const [a, b, c] = ['a', 'b', 'c'].map((name) => shares.enter(name))
  a!.service = 10
  b!.service = 500
  shares.leave(a!)
  shares.leave(b!)
  c!.service = 200
  expect(shares.enter('a').service).toBe(200)
  expect(shares.enter('b').service).toBe(500)
})

test('in an idle ring everybody is equal', () => {
  const shares = new TenantShares()
  const a = shares.enter('a')
  a.service = 70
  shares.leave(a)
  expect(shares.enter('b').service).toBe(70)
  expect(shares.enter('a').service).toBe(70)
})

test('of many that left, those furthest ahead are remembered', () => {
  const shares = new TenantShares()
  shares.enter('stays')
  for (let index = 0; index < 5_000; index++) {
    const tenant = shares.enter(`t${index}`)
    tenant.service = index === 7 ? 1e6 : index % 2
    shares.leave(tenant)
  }
  expect(shares.enter('t7').service).toBe(1e6)
})
