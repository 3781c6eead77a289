/**
 * Machines: how they join and prove themselves, their heartbeats and leases, what operators do with them, and how they
 * stand towards stages. Start at {@link MachineService}; handlers are made from it.
 */
export { fleetStream } from './fleet-stream.ts'
export type { MachineDetails } from './fleet-view.ts'
export { type MachineParts, machineHandlers, workerHandlers } from './handlers.ts'
export type { CredentialHolder } from './machine-credentials.ts'
export { machineProblems } from './machine-problems.ts'
export type { MachineReport, StageReport } from './machine-reports.ts'
export {
  defaultUsableShare,
  MachineService,
  type MachineServiceParts,
  type MachineServiceSettings,
} from './machine-service.ts'
export type { HeldStage, PlacedStages } from './placed-stages.ts'
export type { Ticket } from './tickets.ts'
