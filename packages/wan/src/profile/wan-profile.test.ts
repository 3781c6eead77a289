import { expect, test } from 'vitest'
import { builtInProfiles } from './built-in-profiles.ts'
import { linkSettings } from './link-settings.ts'
import { pairKey, parseWanProfile } from './wan-profile.ts'

const small = {
  name: 'small',
  title: 'Two sites',
  source: 'A test.',
  licence: 'CC0-1.0',
  sites: [
    { name: 'a', accessMs: 3, accessJitterMs: 1, accessLoss: 0.1, upMbps: 8 },
    { name: 'b', accessMs: 4, accessLoss: 0.2 },
  ],
  inside: { oneWayMs: 0.1 },
  links: [{ from: 'a', to: 'b', oneWayMs: 10, mbps: 80 }],
}

test('access lines at both ends add to the way between', () => {
  const settings = linkSettings(parseWanProfile(small, 'small.json'))
  expect(settings.get(pairKey('a', 'b'))).toMatchObject({ oneWayMs: 17, jitterMs: 1, bytesPerSecond: 1e7 })
  expect(settings.get(pairKey('b', 'a'))!.loss).toBeCloseTo(1 - 0.9 * 0.8, 12)
  expect(settings.get(pairKey('a', 'a'))).toMatchObject({ oneWayMs: 0.1, loss: 0 })
})

test.each([
  ['an unknown field', { ...small, delay: 3 }, 'delay'],
  ['a negative delay', { ...small, inside: { oneWayMs: -1 } }, 'inside.oneWayMs'],
  ['a stranger', { ...small, links: [{ from: 'a', to: 'c', oneWayMs: 1 }] }, 'links.0.to: "c" is no site'],
  ['a pair without a link', { ...small, links: [] }, 'nothing leads from a to b'],
  ['a link that is there twice', { ...small, links: [...small.links, ...small.links] }, 'is there twice'],
  ['one direction only', { ...small, links: [{ ...small.links[0], directed: true }] }, 'from b to a'],
  ['a site that is there twice', { ...small, sites: [{ name: 'a' }, { name: 'a' }] }, 'sites.1.name'],
  ['text', 'profile', 'the profile'],
])('%s is refused by name', (_, value, problem) => {
  expect(() => parseWanProfile(value, 'x.json')).toThrow(problem)
})

test.each([
  // DT-FM gives the round trips 67, 12, 52 and 11 ms.
  ['aws-4-regions', 4, ['virginia', 'oregon', 'california', 'ohio', 'virginia'], 71],
  ['aws-8-cities', 8, ['tokyo', 'london', 'tokyo'], 210],
  // Skyplane measured 68.272 and 68.481 ms.
  ['clouds-12', 12, ['aws-us-east-1', 'aws-us-west-2', 'aws-us-east-1'], (68.272 + 68.481) / 2],
  ['homes', 7, ['fibre', 'datacentre'], 10],
  ['lan', 4, ['desk-1', 'desk-2'], 0.1],
  ['zero', 4, ['site-1', 'site-2'], 0],
])('%s has %i sites and the delays of its source', (name, sites, way, ms) => {
  const profile = builtInProfiles.get(name)!
  expect(profile.sites).toHaveLength(sites)
  const settings = linkSettings(profile)
  const delays = way.slice(1).map((to, index) => settings.get(pairKey(way[index]!, to))!.oneWayMs)
  expect(delays.reduce((sum, delay) => sum + delay, 0)).toBeCloseTo(ms, 2)
})
