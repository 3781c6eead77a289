import type { IdSource } from '@deos/domain'
import type { ModelCatalog } from '../inference/model-catalog.ts'
import type { Answering } from './answering.ts'

/** What every API answers with. */
export interface ApiServices {
  readonly models: ModelCatalog
  readonly answering: Answering
  readonly ids: IdSource
}
