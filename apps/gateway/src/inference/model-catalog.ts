import type { Visit } from '../access/visit.ts'
import type { ModelSummary, TextModel } from './text-model.ts'

/** The models a gateway serves, as far as they exist for whoever sends a request. */
export interface ModelCatalog {
  list(visit: Visit): readonly ModelSummary[]
  summary(visit: Visit, name: string): ModelSummary | null
  /**
   * The model that a request is for. On a gateway of several deployments the request has its ticket from here on.
   *
   * @returns `null` if there is none of this name
   * @throws Problem 429 if the request is one too many; NotReadyError while the model is being opened
   */
  find(visit: Visit, name: string): TextModel | null
}

/** A model and its LoRA adapters, each under a name of its own, for everybody. */
export class FixedCatalog implements ModelCatalog {
  readonly #models: ReadonlyMap<string, TextModel>

  constructor(model: TextModel, adapters: readonly string[]) {
    const all = [model, ...adapters.map((adapter) => ({ ...model, id: adapter, parent: model.id, adapter }))]
    this.#models = new Map(all.map((entry) => [entry.id, entry]))
  }

  list(): readonly TextModel[] {
    return [...this.#models.values()]
  }

  summary(_visit: Visit, name: string): TextModel | null {
    return this.#models.get(name) ?? null
  }

  find(visit: Visit, name: string): TextModel | null {
    return this.summary(visit, name)
  }
}
