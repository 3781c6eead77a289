import { expect, test } from 'vitest'
import { placeOf } from './regions.ts'

test.each([
  'eu-north',
  'EU-North-1',
  'europe-north4',
  'us-west',
  'ap-south',
  'ap_southeast.2',
  'af-south',
  'in',
])('%s is on the map', (region) => {
  const [longitude, latitude] = placeOf(region)!
  expect(Math.abs(longitude)).toBeLessThan(180)
  expect(latitude).toBeGreaterThan(-56)
  expect(latitude).toBeLessThan(78)
})

test('directions move the right way', () => {
  expect(placeOf('us-west')![0]).toBeLessThan(placeOf('us-east')![0])
  expect(placeOf('eu-north')![1]).toBeGreaterThan(placeOf('eu-south')![1])
})

test.each(['local', 'rack-7', 'attic', '', 'north'])('"%s" says nothing about where it is', (region) => {
  expect(placeOf(region)).toBeNull()
})
