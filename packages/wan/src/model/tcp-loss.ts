/**
 * What lost packets do to one TCP connection, as it is seen from outside: bytes come late, and no faster than the
 * congestion control allows. Slow start, and restarts after idle times, are not part of it: connections are taken to
 * be warm.
 */

/** Payload of a full segment on Ethernet with timestamps. */
export const SEGMENT_BYTES = 1448
/** Segments that must follow a lost one for it to be sent again at once: three duplicate acknowledgements. */
const DUPLICATES = 3
/** Linux waits at least so much longer than a round trip before it sends the last segments again (RFC 6298 asks for a
 * second). */
const LEAST_TIMEOUT_MS = 200
const LONGEST_TIMEOUT_MS = 120_000

/**
 * The fastest that one connection gets over a link with random loss: the larger of what Reno
 * (Mathis et al. 1997: sqrt(3/2) segments a round trip for each sqrt of loss) and CUBIC (RFC 9438, section 5.2: 1.054
 * (RTT / p) ^ 3/4 segments in seconds) keep under way, once each round trip.
 */
export function lossCap(roundTripMs: number, loss: number): number {
  if (loss === 0 || roundTripMs === 0) return Number.POSITIVE_INFINITY
  const seconds = roundTripMs / 1000
  const reno = Math.sqrt(1.5 / loss)
  const cubic = 1.054 * (seconds / loss) ** 0.75
  return (Math.max(1, reno, cubic) * SEGMENT_BYTES) / seconds
}

/** How long after a loss the sender tries again when nothing told it sooner. */
export const retransmitTimeoutMs = (roundTripMs: number): number => roundTripMs + LEAST_TIMEOUT_MS

/**
 * How much later than without loss the last byte of something comes, if its segment number `index` of `count` is lost:
 * a round trip if enough follows it to be noticed, else a timeout.
 */
export const lossDelayMs = (roundTripMs: number, index: number, count: number): number =>
  count - 1 - index >= DUPLICATES ? roundTripMs : retransmitTimeoutMs(roundTripMs)

/**
 * When what was sent into a link that passes nothing gets through: with the first retransmission after the link is
 * back, each timeout twice as long as the one before.
 */
export function retransmittedAtMs(sentMs: number, backMs: number, roundTripMs: number): number {
  let timeoutMs = retransmitTimeoutMs(roundTripMs)
  let atMs = sentMs
  while (atMs < backMs) {
    atMs += timeoutMs
    timeoutMs = Math.min(2 * timeoutMs, LONGEST_TIMEOUT_MS)
  }
  return atMs
}
