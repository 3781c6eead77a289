import { deploymentRoutes } from './deployments.ts'
import { gatewayRoutes } from './gateway.ts'
import { keyRoutes } from './keys.ts'
import { joinTokenRoutes, machineRoutes } from './machines.ts'
import { aliasRoutes, modelRoutes } from './models.ts'
import {
  decisionRoutes,
  eventRoutes,
  ledgerRoutes,
  requestRoutes,
  statusRoutes,
  usageRoutes,
} from './observation.ts'
import {
  invitationRoutes,
  memberRoutes,
  organisationRoutes,
  projectRoutes,
  settingsRoutes,
} from './organisations.ts'
import { sessionRoutes } from './session.ts'
import { workerRoutes } from './worker.ts'

/** The whole API. Server, client, document and mocks are made from it. */
export const routes = {
  aliases: aliasRoutes,
  decisions: decisionRoutes,
  deployments: deploymentRoutes,
  events: eventRoutes,
  gateway: gatewayRoutes,
  invitations: invitationRoutes,
  joinTokens: joinTokenRoutes,
  keys: keyRoutes,
  ledger: ledgerRoutes,
  machines: machineRoutes,
  members: memberRoutes,
  models: modelRoutes,
  organisations: organisationRoutes,
  projects: projectRoutes,
  requests: requestRoutes,
  session: sessionRoutes,
  settings: settingsRoutes,
  status: statusRoutes,
  usage: usageRoutes,
  worker: workerRoutes,
}

export type Routes = typeof routes

/** What the document says of each group. */
export const groupDescriptions: Readonly<Record<keyof Routes, string>> = {
  aliases: 'Other names for deployments.',
  decisions: 'What the system chose, with reasons.',
  deployments: 'Models that are kept running.',
  gateway: 'What gateways call.',
  events: 'What happened to fleet, deployments and settings.',
  invitations: 'People who are asked to join an organisation.',
  joinTokens: 'What machines join with.',
  keys: 'API keys of programs.',
  ledger: 'Money.',
  machines: 'What computes.',
  members: 'People of an organisation and what they may do.',
  models: 'Weights that can be deployed.',
  organisations: 'Who owns machines, models and deployments.',
  projects: 'Parts of an organisation with budgets of their own.',
  requests: 'The log of answered requests.',
  session: 'Signing in and out.',
  settings: 'Settings of an organisation.',
  status: 'Everything at a glance.',
  usage: 'Tokens, requests and cost.',
  worker: 'What machines call.',
}
