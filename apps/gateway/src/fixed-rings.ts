import { DomainError } from '@deos/domain'
import type { FixedConfig } from './config.ts'

/** Further rings that are named in a way that cannot be followed. */
export class OtherRingsError extends DomainError {
  readonly code = 'OTHER_RINGS'
  readonly retriable = false
}

/** A ring and where its first and last stage listen. */
export interface FixedRing {
  readonly ring: string
  readonly leader: string
  readonly tail: string
}

/**
 * The ring that the configuration names, and those beside it.
 *
 * @throws OtherRingsError if one is not `ring@leader/tail`, or prompts are computed by another ring
 */
export function fixedRings({
  ring,
  leader,
  tail,
  otherRings,
  prefillRing,
}: Pick<FixedConfig, 'ring' | 'leader' | 'tail' | 'otherRings' | 'prefillRing'>): readonly FixedRing[] {
  if (otherRings.length > 0 && prefillRing !== null) {
    throw new OtherRingsError(
      `The prefill ring ${prefillRing} computes prompts for one ring, not for ${otherRings.length + 1}.`,
      'Leave out --other-rings or --prefill-ring.',
    )
  }
  return [{ ring, leader, tail }, ...otherRings.map(parseRing)]
}

function parseRing(text: string): FixedRing {
  const [, ring, leader, tail] = /^([^@/]+)@([^@/]+)\/([^@/]+)$/.exec(text) ?? []
  if (ring === undefined || leader === undefined || tail === undefined) {
    throw new OtherRingsError(
      `"${text}" does not say which ring, and where its first and last stage are.`,
      'Write ring@host:port/host:port.',
    )
  }
  return { ring, leader, tail }
}
