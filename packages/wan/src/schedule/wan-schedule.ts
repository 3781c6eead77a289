import { z } from 'zod'
import type { WanProfile } from '../profile/wan-profile.ts'
import { WanError } from '../wan-error.ts'

const pair = { from: z.string(), to: z.string() }

const actionSchema = z.discriminatedUnion('action', [
  /** Packets vanish in this direction; the other goes on. */
  z.strictObject({ action: z.literal('blackhole'), ...pair }),
  /** Connections between the two are reset, and new ones too. */
  z.strictObject({ action: z.literal('reset'), ...pair }),
  /** Ends either. */
  z.strictObject({ action: z.literal('open'), ...pair }),
  /**
   * Cuts connections that there are between the two: at once, or the one that brings the last of so many more bytes
   * in this direction.
   */
  z.strictObject({ action: z.literal('kill'), ...pair, afterBytes: z.number().int().min(0).default(0) }),
])

/** Thirty days; clocks of nanoseconds end after some centuries. */
const LATEST_MS = 30 * 86_400_000
const scheduleSchema = z.array(z.looseObject({ atMs: z.number().min(0).max(LATEST_MS) })).max(10_000)

/** Something that happens to a pair of sites. */
export type WanAction = z.infer<typeof actionSchema>

export interface WanEvent {
  /** Since the emulator started. */
  readonly atMs: number
  readonly action: WanAction
}

/**
 * What shall happen when, in order of time: `[{"atMs": 5000, "action": "blackhole", "from": "a", "to": "b"}, …]`.
 *
 * @throws WanError naming the entry that is wrong
 */
export function parseWanSchedule(value: unknown, profile: WanProfile): readonly WanEvent[] {
  const list = scheduleSchema.safeParse(value)
  if (!list.success) throw scheduleError(list.error.issues)
  const events = list.data.map((entry, index) => {
    const { atMs, ...rest } = entry
    return { atMs, action: parseWanAction(rest, profile, [index]) }
  })
  return events.sort((a, b) => a.atMs - b.atMs)
}

/** @throws WanError if it is no action, or names sites that the profile lacks */
export function parseWanAction(
  value: unknown,
  profile: WanProfile,
  path: readonly (string | number)[] = [],
): WanAction {
  const parsed = actionSchema.safeParse(value)
  if (!parsed.success) {
    throw scheduleError(parsed.error.issues.map((issue) => ({ ...issue, path: [...path, ...issue.path] })))
  }
  for (const end of ['from', 'to'] as const) {
    const name = parsed.data[end]
    if (profile.sites.some((site) => site.name === name)) continue
    throw scheduleError([{ path: [...path, end], message: `"${name}" is no site of ${profile.name}` }])
  }
  return parsed.data
}

export const SCHEDULE_HINT =
  'Entries are like {"atMs": 5000, "action": "blackhole", "from": "a", "to": "b"}; actions are blackhole, reset, open and kill.'

const scheduleError = (
  issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[],
): WanError => {
  const problems = issues
    .slice(0, 5)
    .map(({ path, message }) => `${path.map(String).join('.') || 'it'}: ${message}`)
  return new WanError(`The schedule of the network is wrong: ${problems.join('; ')}.`, SCHEDULE_HINT)
}
