import { readJsonFile } from '../profile/load-profile.ts'
import type { WanProfile } from '../profile/wan-profile.ts'
import { parseWanSchedule, SCHEDULE_HINT, type WanEvent } from './wan-schedule.ts'

/** A schedule from a JSON file. @throws WanError if it cannot be read, or is none */
export async function loadWanSchedule(path: string, profile: WanProfile): Promise<readonly WanEvent[]> {
  return parseWanSchedule(await readJsonFile(path, 'schedule', SCHEDULE_HINT), profile)
}
