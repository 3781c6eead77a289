import type { RouteTarget } from '@deos/api'
import type { Visit } from '../access/visit.ts'
import type { TicketDesk } from '../accounting/request-ticket.ts'
import { NotReadyError } from '../inference/errors.ts'
import type { ModelCatalog } from '../inference/model-catalog.ts'
import type { ModelSummary, TextModel } from '../inference/text-model.ts'
import type { ModelShelf } from './model-shelf.ts'
import { RoutedBackend, type RoutedBackendOptions, type RoutedBackendParts } from './routed-backend.ts'

export interface RoutedCatalogParts {
  readonly shelf: ModelShelf
  readonly desk: TicketDesk
  readonly backend: RoutedBackendParts
}

/** A name and what it stands for. */
interface Entry {
  readonly summary: ModelSummary
  readonly target: RouteTarget
}

const none: ReadonlyMap<string, Entry> = new Map()

/** What the control plane wants served: each organisation has names of its own, and others' do not exist for it. */
export class RoutedCatalog implements ModelCatalog {
  readonly #options: RoutedBackendOptions
  readonly #parts: RoutedCatalogParts
  #byOrganisation: ReadonlyMap<string, ReadonlyMap<string, Entry>> | null = null

  constructor(options: RoutedBackendOptions, parts: RoutedCatalogParts) {
    this.#options = options
    this.#parts = parts
  }

  sync(targets: readonly RouteTarget[]): void {
    const all = new Map<string, Map<string, Entry>>()
    for (const target of targets) {
      const names = all.get(target.organisationId) ?? new Map<string, Entry>()
      all.set(target.organisationId, names)
      const summary: ModelSummary = {
        id: target.name,
        parent: null,
        createdSeconds: Math.floor(Date.parse(target.createdAt) / 1000),
        fingerprint: target.model.fingerprint,
        contextLength: target.contextTokens,
      }
      names.set(target.name, { summary, target })
      for (const alias of target.aliases) {
        // A deployment's own name goes before another's alias.
        if (names.get(alias)?.summary.parent === null) continue
        names.set(alias, { summary: { ...summary, id: alias, parent: target.name }, target })
      }
    }
    this.#byOrganisation = all
  }

  list(visit: Visit): readonly ModelSummary[] {
    return [...this.#names(visit).values()].map(({ summary }) => summary)
  }

  summary(visit: Visit, name: string): ModelSummary | null {
    return this.#names(visit).get(name)?.summary ?? null
  }

  find(visit: Visit, name: string): TextModel | null {
    const entry = this.#names(visit).get(name)
    const { grant } = visit.caller
    if (entry === undefined || grant === null) return null
    const { target, summary } = entry
    const ticket = this.#parts.desk.open(visit, grant, target)
    const words = this.#parts.shelf.words(target.model.fingerprint)
    const backend = new RoutedBackend(target.deploymentId, this.#options, this.#parts.backend, ticket)
    const model = words.withBackend(backend)
    return { ...model, ...summary, contextLength: Math.min(model.contextLength, summary.contextLength) }
  }

  #names({ caller }: Visit): ReadonlyMap<string, Entry> {
    if (this.#byOrganisation === null) {
      throw new NotReadyError('this gateway has not heard from its control plane yet.', 2_000)
    }
    return (caller.grant && this.#byOrganisation.get(caller.grant.organisationId)) ?? none
  }
}
