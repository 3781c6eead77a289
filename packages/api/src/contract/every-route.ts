import type { Route, RouteTable } from './route.ts'

export interface NamedRoute {
  /** `machines.list`: unique, the operation id of the document. */
  readonly id: string
  readonly group: string
  readonly name: string
  readonly route: Route
}

/** All routes of a table, sorted by id. */
export function everyRoute(table: RouteTable): readonly NamedRoute[] {
  const all = Object.entries(table).flatMap(([group, routes]) =>
    Object.entries(routes).map(([name, route]) => ({ id: `${group}.${name}`, group, name, route })),
  )
  return all.sort((a, b) => (a.id < b.id ? -1 : 1))
}
