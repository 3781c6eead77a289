/**
 * Deployments: what people wish to run, and everything that makes it so. {@link DeploymentLog} is there first, since
 * machines tell it what they hold; {@link DeploymentService} runs the rest.
 */
export { type AliasHandlerParts, aliasHandlers } from './alias-handlers.ts'
export { type AssignmentHandlerParts, assignmentHandlers } from './assignment-handlers.ts'
export { type AssignmentParts, Assignments, type LayerSource } from './assignments.ts'
export { decisionHandlers } from './decision-handlers.ts'
export { type DeployableFleet, fleetOf } from './deployable-fleet.ts'
export type { DeployedModel, DeployedModels } from './deployed-models.ts'
export { type DeploymentHandlerParts, deploymentHandlers } from './deployment-handlers.ts'
export { DeploymentLog, type DeploymentLogParts } from './deployment-log.ts'
export { deploymentProblems } from './deployment-problems.ts'
export { DeploymentService, type DeploymentServiceParts } from './deployment-service.ts'
export { deploymentsStream } from './deployments-stream.ts'
export { layerSources } from './layer-sources.ts'
export { RingAccess } from './ring-access.ts'
export type { Health, OrganisationActivity } from './ring-activity.ts'
