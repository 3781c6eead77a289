import { type Accelerator, assumedEfficiency, type Efficiency, keyOfAccelerator } from '../devices/index.ts'
import { PlanInputError } from './errors.ts'

/** A message of n bytes takes `delayMs + n / bytesPerS` one way. */
export interface LinkRate {
  readonly delayMs: number
  readonly bytesPerS: number
}

/** One computer with accelerators of one kind. */
export interface FleetMachine {
  /** Unique in the fleet. */
  readonly name: string
  readonly accelerator: Accelerator
  readonly accelerators: number
  /** For weights that its accelerators have no room for; none if not given. */
  readonly hostMemoryGiB?: number
  /** Between two of its accelerators. */
  readonly inside: LinkRate
  /** Machines of one site reach each other over a local network. */
  readonly site: string
  readonly region: string
  /** USD for the whole machine; 0 if it costs nothing, or nobody said. */
  readonly pricePerHour: number
  /** Share of the time in which it is there. */
  readonly availability: number
}

/** How machines reach each other: by where they are, and by measurement where there is one. */
export interface FleetLinks {
  readonly sameSite: LinkRate
  readonly sameRegion: LinkRate
  /** Where no pair of regions says otherwise. */
  readonly elsewhere: LinkRate
  readonly regions: readonly { readonly a: string; readonly b: string; readonly rate: LinkRate }[]
  /** Between two machines by name, in both directions. */
  readonly measured: readonly { readonly a: string; readonly b: string; readonly rate: LinkRate }[]
}

export interface ComputeFleet {
  readonly machines: readonly FleetMachine[]
  readonly links: FleetLinks
  readonly efficiency: Efficiency
}

/** Taken for granted where a fleet does not say: a site's 25 Gbit/s network, a region's 10, and the open internet. */
export const assumedLinks: FleetLinks = {
  sameSite: { delayMs: 0.05, bytesPerS: 25e9 / 8 },
  sameRegion: { delayMs: 1, bytesPerS: 10e9 / 8 },
  elsewhere: { delayMs: 60, bytesPerS: 1e9 / 8 },
  regions: [],
  measured: [],
}

/** Software and wire of one hop between accelerators of a machine. */
const insideDelayMs = 0.005
const slowestHostLinkGBs = 8

/** As the vendor says; accelerators without links of their own go through the host's bus. */
export const insideLinkOf = ({ peerLinkGBs, hostLinkGBs }: Accelerator): LinkRate => ({
  delayMs: peerLinkGBs === null ? insideDelayMs * 2 : insideDelayMs,
  bytesPerS: (peerLinkGBs ?? hostLinkGBs ?? slowestHostLinkGBs) * 1e9,
})

/** Of host memory, what weights may take; of the host link's rate, what copies reach (FlexGen's T4: 12.9 of 16 GB/s). */
const usableHostMemory = 0.8
const usableHostLink = 0.8

/** What one accelerator of a machine has of the host. */
export const hostOf = ({ accelerator, accelerators, hostMemoryGiB = 0 }: FleetMachine) => ({
  bytesPerS: (accelerator.hostLinkGBs ?? slowestHostLinkGBs) * 1e9 * usableHostLink,
  hostBytes: (hostMemoryGiB * 2 ** 30 * usableHostMemory) / accelerators,
})

/** Times between machines, looked up quickly. */
export class LinkLookup {
  readonly #regions = new Map<string, LinkRate>()
  readonly #measured = new Map<string, LinkRate>()
  readonly #own: ReadonlySet<string>

  constructor(private readonly fleet: ComputeFleet) {
    const { regions, measured } = fleet.links
    for (const { a, b, rate } of regions) for (const key of bothWays(a, b)) this.#regions.set(key, rate)
    for (const { a, b, rate } of measured) for (const key of bothWays(a, b)) this.#measured.set(key, rate)
    this.#own = new Set(measured.flatMap(({ a, b }) => [a, b]))
  }

  between(a: FleetMachine, b: FleetMachine): LinkRate {
    if (a === b) return a.inside
    const measured = this.#measured.get(pair(a.name, b.name))
    if (measured !== undefined) return measured
    const { sameSite, sameRegion, elsewhere } = this.fleet.links
    if (a.region === b.region) return a.site === b.site ? sameSite : sameRegion
    return this.#regions.get(pair(a.region, b.region)) ?? elsewhere
  }

  /** Machines with the same place have the same links to all others. */
  placeOf({ name, site, region }: FleetMachine): string {
    return this.#own.has(name) ? `=${name}` : pair(region, site)
  }
}

const pair = (a: string, b: string): string => `${a}\n${b}`
const bothWays = (a: string, b: string): readonly string[] => [pair(a, b), pair(b, a)]

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/**
 * The fleet in an order that does not depend on how it was listed, so that plans do not either: alike machines together,
 * the cheapest first.
 *
 * @throws PlanInputError for what no fleet can be
 */
export function canonicalFleet(fleet: ComputeFleet): ComputeFleet {
  checkFleet(fleet)
  const machines = [...fleet.machines].sort(
    (a, b) =>
      compare(a.region, b.region) ||
      compare(a.site, b.site) ||
      compare(a.accelerator.name, b.accelerator.name) ||
      compare(keyOfAccelerator(a.accelerator), keyOfAccelerator(b.accelerator)) ||
      a.pricePerHour / a.accelerators - b.pricePerHour / b.accelerators ||
      compare(a.name, b.name),
  )
  return { ...fleet, machines }
}

function checkFleet({ machines, links, efficiency }: ComputeFleet): void {
  if (machines.length === 0) throw new PlanInputError('machines', 'empty', 'one machine at least')
  const seen = new Set<string>()
  for (const [at, machine] of machines.entries()) {
    const path = `machines[${at}]`
    if (seen.has(machine.name)) throw new PlanInputError(`${path}.name`, machine.name, 'each name once')
    seen.add(machine.name)
    const { accelerators, pricePerHour, availability } = machine
    if (!Number.isInteger(accelerators) || accelerators < 1) {
      throw new PlanInputError(`${path}.accelerators`, accelerators, 'a whole number from 1')
    }
    if (!(pricePerHour >= 0) || !Number.isFinite(pricePerHour)) {
      throw new PlanInputError(`${path}.pricePerHour`, pricePerHour, 'USD an hour from 0')
    }
    if (!(availability > 0 && availability <= 1)) {
      throw new PlanInputError(`${path}.availability`, availability, 'a share above 0 and up to 1')
    }
    const { hostMemoryGiB = 0 } = machine
    if (!(hostMemoryGiB >= 0) || !Number.isFinite(hostMemoryGiB)) {
      throw new PlanInputError(`${path}.hostMemoryGiB`, hostMemoryGiB, 'GiB from 0')
    }
    checkRate(`${path}.inside`, machine.inside)
  }
  checkRate('links.sameSite', links.sameSite)
  checkRate('links.sameRegion', links.sameRegion)
  checkRate('links.elsewhere', links.elsewhere)
  for (const [at, { rate }] of links.regions.entries()) checkRate(`links.regions[${at}]`, rate)
  for (const [at, { rate }] of links.measured.entries()) checkRate(`links.measured[${at}]`, rate)
  for (const key of ['compute', 'memory'] as const) {
    if (!(efficiency[key] > 0 && efficiency[key] <= 1)) {
      throw new PlanInputError(`efficiency.${key}`, efficiency[key], 'a share above 0 and up to 1')
    }
  }
}

function checkRate(field: string, { delayMs, bytesPerS }: LinkRate): void {
  if (!(delayMs >= 0) || !Number.isFinite(delayMs)) {
    throw new PlanInputError(`${field}.delayMs`, delayMs, 'ms from 0')
  }
  if (!(bytesPerS > 0)) throw new PlanInputError(`${field}.bytesPerS`, bytesPerS, 'bytes a second above 0')
}

/** A machine with the catalogue's figures, one accelerator, no price, always there. */
export const plainMachine = (
  name: string,
  accelerator: Accelerator,
  given: Partial<Omit<FleetMachine, 'name' | 'accelerator'>> = {},
): FleetMachine => ({
  name,
  accelerator,
  accelerators: 1,
  inside: insideLinkOf(accelerator),
  site: 'site',
  region: 'region',
  pricePerHour: 0,
  availability: 1,
  ...given,
})

export const plainFleet = (
  machines: readonly FleetMachine[],
  links: Partial<FleetLinks> = {},
): ComputeFleet => ({ machines, links: { ...assumedLinks, ...links }, efficiency: assumedEfficiency })
