import type { OrganisationId } from '@deos/domain'
import type { FleetState } from './fleet-state.ts'
import type { JoinToken } from './join-token.ts'
import type { Machine } from './machine.ts'

/** All but the removed, by id; of one organisation unless that is `null`. */
export const listMachines = (state: FleetState, organisation: OrganisationId | null): readonly Machine[] =>
  ordered(state.machines.values(), organisation).filter(({ removal }) => removal === null)

/** Those that answer, whatever they may be used for. */
export const liveMachines = (state: FleetState, organisation: OrganisationId | null): readonly Machine[] =>
  listMachines(state, organisation).filter(({ presence }) => presence.online)

/** Those that may get new stages. */
export const usableMachines = (state: FleetState, organisation: OrganisationId | null): readonly Machine[] =>
  listMachines(state, organisation).filter(({ state, cordon }) => state === 'ready' && cordon === null)

/** All, by id, the useless ones too; of one organisation unless that is `null`. */
export const listJoinTokens = (
  state: FleetState,
  organisation: OrganisationId | null,
): readonly JoinToken[] => ordered(state.tokens.values(), organisation)

function ordered<T extends { readonly id: string; readonly organisation: OrganisationId }>(
  items: Iterable<T>,
  organisation: OrganisationId | null,
): readonly T[] {
  return [...items]
    .filter((item) => organisation === null || item.organisation === organisation)
    .sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
}
