import type { OrganisationId } from '@deos/domain'
import type { FleetState } from './fleet-state.ts'
import type { JoinToken } from './join-token.ts'
import type { Machine } from './machine.ts'

type Listed = Map<OrganisationId | null, readonly Machine[]>

/** Of states that are still in use: they never change, and are asked about far more often than there are new ones. */
const listed = new WeakMap<FleetState, Listed>()
const live = new WeakMap<FleetState, Listed>()

/** All but the removed, by id; of one organisation unless that is `null`. */
export const listMachines = (state: FleetState, organisation: OrganisationId | null): readonly Machine[] =>
  once(listed, state, organisation, () =>
    ordered(state.machines.values(), organisation).filter(({ removal }) => removal === null),
  )

/** Those that answer, whatever they may be used for. */
export const liveMachines = (state: FleetState, organisation: OrganisationId | null): readonly Machine[] =>
  once(live, state, organisation, () =>
    listMachines(state, organisation).filter(({ presence }) => presence.online),
  )

/** Those that may get new stages. */
export const usableMachines = (state: FleetState, organisation: OrganisationId | null): readonly Machine[] =>
  listMachines(state, organisation).filter(({ state, cordon }) => state === 'ready' && cordon === null)

/** All, by id, the useless ones too; of one organisation unless that is `null`. */
export const listJoinTokens = (
  state: FleetState,
  organisation: OrganisationId | null,
): readonly JoinToken[] => ordered(state.tokens.values(), organisation)

function once(
  known: WeakMap<FleetState, Listed>,
  state: FleetState,
  organisation: OrganisationId | null,
  list: () => readonly Machine[],
): readonly Machine[] {
  let lists = known.get(state)
  if (lists === undefined) {
    lists = new Map()
    known.set(state, lists)
  }
  let machines = lists.get(organisation)
  if (machines === undefined) {
    machines = list()
    lists.set(organisation, machines)
  }
  return machines
}

function ordered<T extends { readonly id: string; readonly organisation: OrganisationId }>(
  items: Iterable<T>,
  organisation: OrganisationId | null,
): readonly T[] {
  return [...items]
    .filter((item) => organisation === null || item.organisation === organisation)
    .sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
}
