import type { ModelFile } from '@deos/api'
import type { ModelFootprint, ModelId, OrganisationId, Tokens } from '@deos/domain'

/** A registered model, as deployments see it. */
export interface DeployedModel {
  readonly id: ModelId
  readonly organisation: OrganisationId
  readonly name: string
  readonly state: 'registering' | 'downloading' | 'ready' | 'failed'
  /** Null while it is not known. */
  readonly shape: {
    readonly layers: number
    readonly contextTokens: Tokens
    readonly vocabulary: number
  } | null
  /** What its rings agree on; null before it is ready. */
  readonly fingerprint: string | null
  readonly files: readonly ModelFile[]
}

/** What deployments ask of models, from memory. */
export interface DeployedModels {
  /** Null if there is none or it was removed. */
  modelOf(model: ModelId): DeployedModel | null
  /** Null while the sizes are not known, and for a precision that the model cannot be held in. */
  footprint(model: ModelId, precision: string): ModelFootprint | null
  /** @returns stops telling */
  onChange(listener: () => void): () => void
}
