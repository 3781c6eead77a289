import { createHash } from 'node:crypto'
import type { Random } from '@deos/domain'

/** What is known of a replica that could take a request. */
export interface Candidate {
  readonly id: string
  /** Requests it has open, waiting ones included. */
  readonly load: number
  /** Time of one token of one sequence; `null` if nobody knows. */
  readonly tokenMs: number | null
  /** Whether it failed a moment ago. */
  readonly troubled: boolean
}

/** As many tokens of a prompt's beginning decide where it goes: long enough to tell conversations apart by their first words. */
const PREFIX_TOKENS = 64
/** Up to so many replicas are all looked at. */
const LOOK_AT_ALL = 8
/** The replica that knows a prompt's beginning may be busier by this before another takes over: a factor, and requests. */
const BUSIER = { factor: 1.5, requests: 2 } as const
/** So many times worse counts whatever failed a moment ago. */
const TROUBLE = 1000

/** Names the beginning of a prompt; nobody shares cached prefixes across tenants, so they do not meet here either. */
export function prefixKey(tenant: string, tokens: Int32Array): string {
  const beginning = tokens.subarray(0, PREFIX_TOKENS)
  const bytes = new Uint8Array(beginning.buffer, beginning.byteOffset, beginning.byteLength)
  return createHash('sha1').update(tenant).update('\0').update(bytes).digest('base64')
}

/**
 * Picks who takes a request: whoever is least busy for its speed, unless the replica to which prompts with this beginning
 * always go is not clearly busier. Among many, two at random are compared instead of all.
 *
 * @param candidates - at least one
 * @param key - of {@link prefixKey}
 */
export function chooseReplica<C extends Candidate>(candidates: readonly C[], key: string, random: Random): C {
  if (candidates.length === 1) return candidates[0]!
  const usual = usualTokenMs(candidates)
  const score = ({ load, tokenMs, troubled }: Candidate, more = 0) =>
    (load + 1 - more) * (tokenMs ?? usual) * (troubled ? TROUBLE : 1)
  const looked = candidates.length <= LOOK_AT_ALL ? candidates : twoOf(candidates, random)
  const best = looked.reduce((least, each) => (score(each) < score(least) ? each : least))
  const home = rendezvous(candidates, key)
  return score(home, BUSIER.requests) <= score(best) * BUSIER.factor ? home : best
}

/** For those of which nothing is known. */
function usualTokenMs(candidates: readonly Candidate[]): number {
  const known = candidates.flatMap(({ tokenMs }) => (tokenMs === null ? [] : [tokenMs]))
  return known.length === 0 ? 1 : known.reduce((sum, value) => sum + value, 0) / known.length
}

function twoOf<C>(candidates: readonly C[], random: Random): readonly C[] {
  const first = Math.floor(random.next() * candidates.length)
  const second = (first + 1 + Math.floor(random.next() * (candidates.length - 1))) % candidates.length
  return [candidates[first]!, candidates[second]!]
}

/** The same for the same key on every gateway, and when others come or go. */
function rendezvous<C extends Candidate>(candidates: readonly C[], key: string): C {
  let highest = -1
  let chosen = candidates[0]!
  for (const candidate of candidates) {
    const weight = mixed(key, candidate.id)
    if (weight > highest) {
      highest = weight
      chosen = candidate
    }
  }
  return chosen
}

/** FNV-1a over both with a final mix, as 32 bits: keys are hashes already. */
function mixed(key: string, id: string): number {
  let hash = 0x811c9dc5
  for (const text of [key, id]) {
    for (let index = 0; index < text.length; index += 1) {
      hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
    }
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
