import type { RestartLimits } from '@deos/service'
import { hasUrl, type KeptProcessOptions, portAgain } from '../processes/kept-process.ts'

/** A ring, and the addresses of its first and last stage. */
export interface FixedRing {
  readonly ring: string
  readonly leader: string
  readonly tail: string
}

export interface RingGateway {
  readonly script: string
  readonly runFolder: string
  readonly ringSecret: string
  readonly apiKey: string | null
  readonly host: string
  /** 0 lets the system choose; a restart takes the same one again. */
  readonly port: number
  readonly rings: readonly FixedRing[]
  readonly model: { readonly id: string; readonly path: string }
  /** Names under which the ring knows LoRA adapters. */
  readonly adapters: readonly string[]
  readonly limits: RestartLimits
}

/** What accepted requests get to finish; the gateway cuts off the rest. */
const DRAIN_LIMIT_MS = 10_000
/** How long to wait for its end altogether. */
export const GATEWAY_STOP_MS = DRAIN_LIMIT_MS + 2_000

/** The process of a gateway in front of rings of one model. */
export function ringGateway(options: RingGateway): KeptProcessOptions {
  const { script, runFolder, limits, host, port, rings, model, adapters } = options
  const [{ ring, leader, tail }, ...others] = [rings[0]!, ...rings.slice(1)]
  const otherRings = others.map((other) => `${other.ring}@${other.leader}/${other.tail}`)
  return {
    title: 'The gateway',
    name: 'gateway',
    script,
    runFolder,
    limits,
    isReady: hasUrl,
    args: (url) => [
      ...['--host', host, '--port', portAgain(port, url)],
      ...['--ring', ring, '--leader', leader, '--tail', tail],
      ...(otherRings.length === 0 ? [] : ['--other-rings', otherRings.join(',')]),
      ...['--model', model.path, '--model-id', model.id],
      ...(adapters.length === 0 ? [] : ['--adapters', adapters.join(',')]),
      ...['--drain-limit', `${DRAIN_LIMIT_MS}ms`],
    ],
    // An empty key is none, whatever this process inherited.
    env: { DEOS_RING_SECRET: options.ringSecret, DEOS_API_KEY: options.apiKey ?? '' },
  }
}
