import type { RegionLink } from './cases.ts'

/**
 * Links between AWS regions as measured for DT-FM: github.com/DS3Lab/DT-FM, commit cda948f, MIT licence, constants of its
 * scheduler retyped as data. `delayMs` equals published round trips, although the model uses it as one way.
 */
export const linksOfFourRegions: readonly RegionLink[] = [
  { a: 'Virginia', b: 'Oregon', delayMs: 67.0, gbps: 1.15 },
  { a: 'Virginia', b: 'California', delayMs: 59.0, gbps: 1.05 },
  { a: 'Virginia', b: 'Ohio', delayMs: 11.0, gbps: 1.12 },
  { a: 'Oregon', b: 'California', delayMs: 12.0, gbps: 1.25 },
  { a: 'Oregon', b: 'Ohio', delayMs: 49.0, gbps: 1.1 },
  { a: 'California', b: 'Ohio', delayMs: 52.0, gbps: 1.02 },
]

export const linksOfEightCities: readonly RegionLink[] = [
  { a: 'Oregon', b: 'Virginia', delayMs: 67.0, gbps: 0.79 },
  { a: 'Oregon', b: 'Ohio', delayMs: 49.0, gbps: 1.1 },
  { a: 'Oregon', b: 'Tokyo', delayMs: 96.0, gbps: 0.523 },
  { a: 'Oregon', b: 'Seoul', delayMs: 124.0, gbps: 0.46 },
  { a: 'Oregon', b: 'London', delayMs: 136.0, gbps: 0.42 },
  { a: 'Oregon', b: 'Frankfurt', delayMs: 143.0, gbps: 0.404 },
  { a: 'Oregon', b: 'Ireland', delayMs: 124.0, gbps: 0.482 },
  { a: 'Virginia', b: 'Ohio', delayMs: 11.0, gbps: 1.12 },
  { a: 'Virginia', b: 'Tokyo', delayMs: 143.0, gbps: 0.524 },
  { a: 'Virginia', b: 'Seoul', delayMs: 172.0, gbps: 0.5 },
  { a: 'Virginia', b: 'London', delayMs: 76.0, gbps: 1.16 },
  { a: 'Virginia', b: 'Frankfurt', delayMs: 90.0, gbps: 1.02 },
  { a: 'Virginia', b: 'Ireland', delayMs: 67.0, gbps: 1.05 },
  { a: 'Ohio', b: 'Tokyo', delayMs: 130.0, gbps: 0.694 },
  { a: 'Ohio', b: 'Seoul', delayMs: 159.0, gbps: 0.529 },
  { a: 'Ohio', b: 'London', delayMs: 86.0, gbps: 1.05 },
  { a: 'Ohio', b: 'Frankfurt', delayMs: 99.0, gbps: 0.799 },
  { a: 'Ohio', b: 'Ireland', delayMs: 77.0, gbps: 1.14 },
  { a: 'Tokyo', b: 'Seoul', delayMs: 34.0, gbps: 1.1 },
  { a: 'Tokyo', b: 'London', delayMs: 210.0, gbps: 0.366 },
  { a: 'Tokyo', b: 'Frankfurt', delayMs: 223.0, gbps: 0.36 },
  { a: 'Tokyo', b: 'Ireland', delayMs: 199.0, gbps: 0.465 },
  { a: 'Seoul', b: 'London', delayMs: 238.0, gbps: 0.342 },
  { a: 'Seoul', b: 'Frankfurt', delayMs: 235.0, gbps: 0.358 },
  { a: 'Seoul', b: 'Ireland', delayMs: 228.0, gbps: 0.335 },
  { a: 'London', b: 'Frankfurt', delayMs: 14.0, gbps: 1.14 },
  { a: 'London', b: 'Ireland', delayMs: 12.0, gbps: 1.09 },
  { a: 'Frankfurt', b: 'Ireland', delayMs: 24.0, gbps: 1.08 },
]
