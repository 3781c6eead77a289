import { DomainError } from '@deos/domain'
import { parsePeerAddress } from '@deos/transport'
import type { FixedConfig } from './config.ts'

/** Further rings that are named in a way that cannot be followed. */
export class OtherRingsError extends DomainError {
  readonly code = 'OTHER_RINGS'
  readonly retriable = false
}

/** Something that is given as an address and is none: it would be dialled for ever. */
export class RingAddressError extends DomainError {
  readonly code = 'RING_ADDRESS'
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
 * @throws OtherRingsError if one is not `ring@leader/tail`, or prompts are computed by another ring; RingAddressError if
 *   something is no address
 */
export function fixedRings({
  ring,
  leader,
  tail,
  otherRings,
  prefillRing,
  stages,
  prefillStages,
}: Pick<
  FixedConfig,
  'ring' | 'leader' | 'tail' | 'otherRings' | 'prefillRing' | 'stages' | 'prefillStages'
>): readonly FixedRing[] {
  if (otherRings.length > 0 && prefillRing !== null) {
    throw new OtherRingsError(
      `The prefill ring ${prefillRing} computes prompts for one ring, not for ${otherRings.length + 1}.`,
      'Leave out --other-rings or --prefill-ring.',
    )
  }
  const others = otherRings.map(parseRing)
  checkAddresses('--leader', [leader])
  checkAddresses('--tail', [tail])
  for (const other of others) checkAddresses('--other-rings', [other.leader, other.tail])
  checkAddresses('--stages', stages)
  checkAddresses('--prefill-stages', prefillStages)
  return [{ ring, leader, tail }, ...others]
}

function checkAddresses(option: string, addresses: readonly string[]): void {
  for (const address of addresses) {
    try {
      parsePeerAddress(address)
    } catch (cause) {
      throw new RingAddressError(
        `${option} cannot hold "${address}", which is no address.`,
        'Write host:port, as the ring’s workers print it.',
        { cause },
      )
    }
  }
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
