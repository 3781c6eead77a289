declare const brand: unique symbol

type Id<B extends string> = string & { readonly [brand]: B }

export type WorkerId = Id<'worker'>
export type RingId = Id<'ring'>
export type SessionId = Id<'session'>
export type ModelId = Id<'model'>
export type OrganisationId = Id<'organisation'>
export type ProjectId = Id<'project'>
export type MachineId = Id<'machine'>
export type DeploymentId = Id<'deployment'>
export type ReplicaId = Id<'replica'>
export type StageId = Id<'stage'>

export const workerId = (value: string): WorkerId => value as WorkerId
export const ringId = (value: string): RingId => value as RingId
export const sessionId = (value: string): SessionId => value as SessionId
export const modelId = (value: string): ModelId => value as ModelId
export const organisationId = (value: string): OrganisationId => value as OrganisationId
export const projectId = (value: string): ProjectId => value as ProjectId
export const machineId = (value: string): MachineId => value as MachineId
export const deploymentId = (value: string): DeploymentId => value as DeploymentId
export const replicaId = (value: string): ReplicaId => value as ReplicaId
export const stageId = (value: string): StageId => value as StageId
