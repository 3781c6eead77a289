import type { ExpertConfig } from '@deos/domain'
import { type Fields, ranges } from '../fields.ts'
import { expertCounts, plainRouting } from './experts.ts'

type ExpertGroups = Pick<ExpertConfig, 'groups' | 'groupsUsed' | 'groupJudges'>

export const sharedExpertCounts = { min: 0, max: expertCounts.max } as const
export const firstExpertLayers = { min: 0, max: ranges.layers.max } as const

/** Experts that are not grouped. */
export const noGroups: ExpertGroups = {
  groups: plainRouting.groups,
  groupsUsed: plainRouting.groupsUsed,
  groupJudges: plainRouting.groupJudges,
}

/** @param keys - of how many groups there are, and how many of them are looked at; absent is no grouping */
export function expertGroups(
  fields: Fields,
  keys: { readonly groups: string; readonly used: string },
  groupJudges: number,
): ExpertGroups {
  const groups = fields.integer(keys.groups, { min: 0, max: expertCounts.max }, 1)
  if (groups <= 1) return noGroups
  const groupsUsed = fields.integer(keys.used, { min: 1, max: groups })
  return groupsUsed === groups ? noGroups : { groups, groupsUsed, groupJudges }
}
