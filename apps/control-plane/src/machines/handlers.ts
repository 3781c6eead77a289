import type { Handlers, Routes } from '@deos/api'
import type { Database } from '../database/database.ts'
import type { EventStore } from '../events/event-store.ts'
import type { Caller } from '../http/caller.ts'
import { joinTokenHandlers } from './join-token-handlers.ts'
import { machineRouteHandlers } from './machine-handlers.ts'
import type { MachineService } from './machine-service.ts'
import { MachineUpdates } from './machine-updates.ts'
import type { PlacedStages } from './placed-stages.ts'

export { workerHandlers } from './worker-handlers.ts'

export interface MachineParts {
  readonly service: MachineService
  readonly database: Database
  readonly events: EventStore
  readonly placed: PlacedStages
  readonly now: () => Date
}

export const machineHandlers = (
  parts: MachineParts,
): Pick<Handlers<Routes, Caller>, 'machines' | 'joinTokens'> => ({
  machines: machineRouteHandlers({ ...parts, updates: new MachineUpdates(parts) }),
  joinTokens: joinTokenHandlers(parts.service, parts.database),
})
