import { isWholeWithin } from '../field-rules.ts'
import { invalidValue } from './deployment-error.ts'

/** What may become of KV on its way from where a prompt is computed to where it is continued. */
export const kvQualities = ['lossless', 'guarded', 'refined'] as const
export type KvQuality = (typeof kvQualities)[number]

/** Prompts may be computed by other replicas than those that answer. */
export interface SplitPolicy {
  /** Beside those that answer, which are what the number of replicas speaks of. */
  readonly prefillReplicas: number
  /** `guarded` allows fewer bytes as long as what follows from them is checked; after `refined` ones better copies follow. */
  readonly kvQuality: KvQuality
}

const mostPrefillReplicas = 1000

export const sameSplit = (a: SplitPolicy | null, b: SplitPolicy | null): boolean =>
  a?.prefillReplicas === b?.prefillReplicas && a?.kvQuality === b?.kvQuality

/** @throws DeploymentError if a value makes no sense */
export function checkSplit(split: SplitPolicy | null): SplitPolicy | null {
  if (split === null) return null
  const { prefillReplicas, kvQuality } = split
  if (!isWholeWithin(prefillReplicas, 1, mostPrefillReplicas)) {
    const range = `a whole number from 1 to ${mostPrefillReplicas}; split: null computes prompts where they are decoded`
    throw invalidValue('spec.split.prefillReplicas', prefillReplicas, range)
  }
  if (!kvQualities.includes(kvQuality)) {
    throw invalidValue('spec.split.kvQuality', kvQuality, kvQualities.join(' or '))
  }
  return { prefillReplicas, kvQuality }
}
