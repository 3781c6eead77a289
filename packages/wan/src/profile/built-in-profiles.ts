import aws4 from './data/aws-4-regions.json' with { type: 'json' }
import aws8 from './data/aws-8-cities.json' with { type: 'json' }
import clouds from './data/clouds-12.json' with { type: 'json' }
import homes from './data/homes.json' with { type: 'json' }
import lan from './data/lan.json' with { type: 'json' }
import zero from './data/zero.json' with { type: 'json' }
import { parseWanProfile, type WanProfile } from './wan-profile.ts'

/** Profiles that come with the package, by name. */
export const builtInProfiles: ReadonlyMap<string, WanProfile> = new Map(
  [aws4, aws8, clouds, homes, lan, zero]
    .map((value) => parseWanProfile(value, `The built-in profile ${value.name}`))
    .map((profile) => [profile.name, profile]),
)
