import type { Model, ModelFile, ModelSource } from '@deos/api'
import type { ModelFootprint, ModelId, OrganisationId } from '@deos/domain'

export type ModelShape = NonNullable<Model['shape']>
export type ModelState = Model['state']
export type Progress = NonNullable<Model['progress']>

/** A model as every control plane knows it. */
export interface RegisteredModel {
  readonly id: ModelId
  readonly organisation: OrganisationId
  readonly name: string
  readonly source: ModelSource
  /** What was asked for; other bytes are refused. */
  readonly wantedDigest: string | null
  readonly state: ModelState
  readonly reason: string
  readonly reasonSince: Date
  readonly progress: Progress | null
  readonly shape: ModelShape | null
  readonly fingerprint: string | null
  readonly files: readonly ModelFile[]
  readonly sizeBytes: number | null
  readonly digest: string | null
  readonly createdAt: Date
}

export type Footprints = Readonly<Record<string, ModelFootprint>>

export const isFinal = (state: ModelState): boolean => state === 'ready' || state === 'failed'
