import { cursorFormat, type Handlers, type RequestOf, type Routes } from '@deos/api'
import type { MachineId } from '@deos/domain'
import { listMachines, type Machine, type OperatorCommand } from '@deos/fleet'
import { eq } from 'drizzle-orm'
import { z } from 'zod'
import type { Database } from '../database/database.ts'
import { leases, machineReports } from '../database/schema/index.ts'
import { type Caller, organisationOf } from '../http/caller.ts'
import { seriesOf } from '../observation/series.ts'
import { machineOf } from './handler-tools.ts'
import type { MachineService } from './machine-service.ts'
import { forgottenSettings } from './machine-settings.ts'
import type { MachineUpdates } from './machine-updates.ts'
import { linksAnswer, type MachineAnswer, machineAnswer } from './machine-view.ts'
import type { PlacedStages } from './placed-stages.ts'

type MachineHandlers = Handlers<Routes, Caller>['machines']
type Filters = RequestOf<Routes['machines']['list']>['query']
type Operation = Exclude<OperatorCommand['type'], 'drained' | 'remove'>

export interface MachineHandlerParts {
  readonly service: MachineService
  readonly database: Database
  readonly placed: PlacedStages
  readonly updates: MachineUpdates
  readonly now: () => Date
}

const cursors = cursorFormat('machines', z.tuple([z.string(), z.string()]))

const usualReasons: Readonly<Record<Operation | 'remove', string>> = {
  cordon: 'An operator asked for it.',
  uncordon: 'An operator asked for it.',
  drain: 'An operator asked for it.',
  quarantine: 'An operator does not trust it.',
  releaseFromQuarantine: 'An operator trusts it again.',
  remove: 'An operator removed it.',
}

export function machineRouteHandlers({
  service,
  database,
  placed,
  updates,
  now,
}: MachineHandlerParts): MachineHandlers {
  const answer = (machine: Machine): MachineAnswer =>
    machineAnswer(
      machine,
      service.settings.of(machine.id),
      service.leases,
      service.reports.of(machine.id),
      placed.of(machine.id),
      service.isReachable(machine.id),
    )
  const found = (id: MachineId, caller: Caller) => machineOf(service.log.state, id, caller)

  const operation =
    (type: Operation) =>
    async (
      { params, body }: Pick<RequestOf<Routes['machines']['drain']>, 'params' | 'body'>,
      caller: Caller,
    ): Promise<MachineAnswer> => {
      const machine = found(params.machine, caller).id
      await service.log.execute(caller.cause, { type, machine, reason: body.reason ?? usualReasons[type] })
      return answer(found(machine, caller))
    }

  return {
    list({ query }, caller) {
      const after = query.cursor === undefined ? null : cursors.decode(query.cursor)
      const fitting = listMachines(service.log.state, organisationOf(caller))
        .map((machine) => ({ machine, ...service.details(machine.id)! }))
        .filter(({ machine, name, location }) => fits(query, machine, name, location))
        .filter(({ machine, name }) => after === null || isAfter(name, machine.id, after))
        .sort((a, b) => (isAfter(a.name, a.machine.id, [b.name, b.machine.id]) ? 1 : -1))
      const shown = fitting.slice(0, query.limit)
      const last = fitting.length > query.limit ? shown.at(-1) : undefined
      return {
        items: shown.map(({ machine }) => answer(machine)),
        nextCursor: last ? cursors.encode([last.name, last.machine.id]) : null,
      }
    },
    show: ({ params }, caller) => answer(found(params.machine, caller)),
    links: ({ params }, caller) => {
      const { machines } = service.log.state
      const links = service.links.of(found(params.machine, caller).id)
      const isThere = (id: MachineId) => machines.get(id)?.removal === null
      return linksAnswer(links.filter(({ from, to }) => isThere(from) && isThere(to)))
    },
    series: ({ params, query }, caller) =>
      seriesOf(database.queries, `machine:${found(params.machine, caller).id}`, query.window, now()),
    async update({ params, body }, caller) {
      await updates.apply(found(params.machine, caller), body, caller.cause)
      return answer(found(params.machine, caller))
    },
    drain: operation('drain'),
    cordon: operation('cordon'),
    uncordon: operation('uncordon'),
    quarantine: operation('quarantine'),
    release: operation('releaseFromQuarantine'),
    async remove({ params, query }, caller) {
      const { id } = found(params.machine, caller)
      const { reason = usualReasons.remove, force } = query
      const command = { type: 'remove', machine: id, reason, force, placed: placed.all() } as const
      await service.log.execute(caller.cause, command, async (queries) => {
        await queries.delete(leases).where(eq(leases.machineId, id))
        await queries.delete(machineReports).where(eq(machineReports.machineId, id))
        await service.links.remove(queries, id)
        await service.settings.write(queries, id, forgottenSettings, now())
      })
      service.forget(id)
      await service.settingsChanged()
      return undefined
    },
  }
}

function fits(
  { name, state, region, provider }: Filters,
  machine: Machine,
  itsName: string,
  location: Machine['location'],
): boolean {
  return (
    (name === undefined || name === itsName) &&
    (state === undefined || state.some((wanted) => wanted === machine.state)) &&
    (region === undefined || region === location.region) &&
    (provider === undefined || provider === location.provider)
  )
}

const isAfter = (name: string, id: string, [afterName, afterId]: readonly [string, string]): boolean =>
  name > afterName || (name === afterName && id > afterId)
