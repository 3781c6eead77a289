/**
 * @packageDocumentation
 * A network laboratory in userspace: sites of a profile as HTTP proxies on loopback, between which bytes take the time,
 * the bandwidth and the losses of real regions and lines. What it does to bytes is arithmetic without sockets and
 * clock ({@link ShapedStream}). Imports `domain` only. Start at {@link WanEmulator}.
 */
export {
  type EmulatedSite,
  type PairTraffic,
  WanEmulator,
  type WanEmulatorOptions,
} from './emulator/wan-emulator.ts'
export { lossCap } from './model/tcp-loss.ts'
export { builtInProfiles } from './profile/built-in-profiles.ts'
export { type LinkSettings, linkSettings } from './profile/link-settings.ts'
export { loadWanProfile } from './profile/load-profile.ts'
export { pairKey, parseWanProfile, type WanProfile, type WanSite } from './profile/wan-profile.ts'
export { loadWanSchedule } from './schedule/load-schedule.ts'
export { parseWanAction, parseWanSchedule, type WanAction, type WanEvent } from './schedule/wan-schedule.ts'
export { WanError } from './wan-error.ts'
