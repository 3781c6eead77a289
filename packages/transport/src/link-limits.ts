import { defaultWireLimits, type WireLimits } from '@deos/protocol'

/** How much a link may hold, and how long it may take to come about. */
export interface LinkLimits {
  readonly wire: WireLimits
  /** Queued bytes above which `send` returns false. */
  readonly highWaterBytes: number
  /** Queued bytes above which the link is cut. */
  readonly hardLimitBytes: number
  /** For connecting, authenticating and the hello together. */
  readonly handshakeTimeoutMs: number
  /** A link that has sent nothing for this long sends a heartbeat. */
  readonly heartbeatMs: number
  /** A link that has heard nothing for this long is cut; at least twice the peers' `heartbeatMs`. */
  readonly silenceMs: number
  /** Links accepted at once, unfinished handshakes included. */
  readonly maxLinks: number
  /** Connections of one address that have not proved yet that they may be here. */
  readonly maxUnprovenPerAddress: number
}

export const defaultLinkLimits: LinkLimits = {
  wire: defaultWireLimits,
  highWaterBytes: 4 * 1024 * 1024,
  hardLimitBytes: 256 * 1024 * 1024,
  handshakeTimeoutMs: 10_000,
  heartbeatMs: 1_000,
  silenceMs: 5_000,
  maxLinks: 1024,
  maxUnprovenPerAddress: 32,
}

/** @throws RangeError naming the limit that makes no sense */
export function checkLinkLimits(limits: LinkLimits): void {
  const { wire, highWaterBytes, hardLimitBytes, handshakeTimeoutMs, heartbeatMs, silenceMs } = limits
  if (!(highWaterBytes >= 1))
    throw new RangeError(`highWaterBytes is ${highWaterBytes}; it must be at least 1.`)
  const largest = highWaterBytes + wire.maxMetaBytes + wire.maxPayloadBytes
  if (!(hardLimitBytes >= largest)) {
    throw new RangeError(
      `hardLimitBytes is ${hardLimitBytes}; a largest message above high water needs ${largest}.`,
    )
  }
  if (!(handshakeTimeoutMs >= 1))
    throw new RangeError(`handshakeTimeoutMs is ${handshakeTimeoutMs}; use at least 1.`)
  if (!(heartbeatMs >= 1)) throw new RangeError(`heartbeatMs is ${heartbeatMs}; use at least 1.`)
  if (!(silenceMs >= 2 * heartbeatMs)) {
    throw new RangeError(
      `silenceMs is ${silenceMs}; it must be at least twice heartbeatMs, ${2 * heartbeatMs}.`,
    )
  }
  for (const name of ['maxLinks', 'maxUnprovenPerAddress'] as const) {
    if (!(limits[name] >= 1)) throw new RangeError(`${name} is ${limits[name]}; use at least 1.`)
  }
}
