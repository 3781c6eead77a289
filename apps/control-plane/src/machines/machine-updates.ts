import { ProblemError, type RequestOf, type Routes } from '@deos/api'
import { listMachines, type Machine } from '@deos/fleet'
import type { Database, Queries } from '../database/database.ts'
import type { EventCause } from '../database/schema/index.ts'
import { EventConflictError, type EventStore } from '../events/event-store.ts'
import type { MachineService } from './machine-service.ts'
import { lockNames, settingsNamed } from './machine-settings.ts'

type Changes = RequestOf<Routes['machines']['update']>['body']

export interface MachineUpdateParts {
  readonly service: MachineService
  readonly database: Database
  readonly events: EventStore
  readonly now: () => Date
}

const attempts = 5

/** What operators say of machines. */
export class MachineUpdates {
  constructor(private readonly parts: MachineUpdateParts) {}

  /** @throws ProblemError if another machine has the name */
  async apply(machine: Machine, changes: Changes, cause: EventCause): Promise<void> {
    if (Object.keys(changes).length === 0) return
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#write(machine, changes, cause)
        break
      } catch (error) {
        if (!(error instanceof EventConflictError) || attempt === attempts) throw error
        await this.parts.service.log.refresh()
      }
    }
    await this.parts.service.settingsChanged()
  }

  async #write(machine: Machine, changes: Changes, cause: EventCause): Promise<void> {
    const { database, events, service, now } = this.parts
    const { id, organisation } = machine
    await database.transaction(async (queries) => {
      if (changes.name !== undefined) await this.#assertFree(queries, machine, changes.name)
      await service.settings.write(queries, id, changes, now())
      await events.tell(queries, [
        {
          type: 'machine.updated',
          organisation,
          data: { machineId: id, fields: Object.keys(changes) },
          cause,
          machine: id,
          deployment: null,
          atMs: now().getTime(),
        },
      ])
    })
  }

  async #assertFree(queries: Queries, { id, organisation }: Machine, name: string): Promise<void> {
    const { events, service } = this.parts
    const { log, settings } = service
    await lockNames(queries)
    // Names that machines gave themselves are in the fleet's events.
    await events.requireVersion(queries, 'fleet', log.version)
    const renamed = new Set(await settingsNamed(queries, name))
    const holder = listMachines(log.state, organisation).find(
      (other) =>
        other.id !== id &&
        (renamed.has(other.id) || (other.name === name && settings.of(other.id).name === null)),
    )
    if (holder === undefined) return
    throw new ProblemError('conflict', `${holder.id} is called ${name} already.`, {
      code: 'MACHINE_NAME_TAKEN',
      hint: 'Choose another name, or rename the other machine first.',
    })
  }
}
