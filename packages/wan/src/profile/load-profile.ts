import { readFile } from 'node:fs/promises'
import { WanError } from '../wan-error.ts'
import { builtInProfiles } from './built-in-profiles.ts'
import { parseWanProfile, type WanProfile } from './wan-profile.ts'

/**
 * A profile by its name, or from a JSON file.
 *
 * @throws WanError if there is no such profile, or the file is none
 */
export async function loadWanProfile(nameOrPath: string): Promise<WanProfile> {
  const known = builtInProfiles.get(nameOrPath)
  if (known !== undefined) return known
  const hint = `Profiles that come along are ${[...builtInProfiles.keys()].join(', ')}; others are JSON files.`
  return parseWanProfile(await readJsonFile(nameOrPath, 'network profile', hint), nameOrPath)
}

/**
 * @param what - that the file should be, for messages
 * @param hint - what to give instead
 */
export async function readJsonFile(path: string, what: string, hint: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch (cause) {
    throw new WanError(
      `"${path}" is no ${what}: ${cause instanceof Error ? cause.message : String(cause)}.`,
      hint,
      { cause },
    )
  }
}
