import { DomainError } from '@deos/domain'
import type { ReadyLine } from '../processes/kept-process.ts'
import type { MachinePlace } from './machine-plan.ts'

export class WanPlacesError extends DomainError {
  readonly code = 'WAN_PLACES'
  readonly retriable = false
}

/** The sites that an emulator says it has. @throws WanPlacesError if it says something else */
export function parsePlaces(line: ReadyLine): readonly MachinePlace[] {
  const sites: readonly unknown[] = Array.isArray(line.sites) ? line.sites : []
  const places = sites.map(placeOf).filter((place) => place !== null)
  if (places.length > 0 && places.length === sites.length) return places
  throw new WanPlacesError('The network emulator names no sites.', 'Build again: npm run build.')
}

const wanted = ['name', 'region', 'provider', 'host', 'proxy'] as const

function placeOf(value: unknown): MachinePlace | null {
  if (typeof value !== 'object' || value === null) return null
  const fields = new Map<string, unknown>(Object.entries(value))
  const [site, region, provider, host, proxy] = wanted.map((name) => {
    const field = fields.get(name)
    return typeof field === 'string' ? field : null
  })
  if (!site || !region || !provider || !host || !proxy) return null
  return { site, region, provider, host, proxy }
}
