import type { ApiClient, DeepReadonly, Deployment } from '@deos/sdk'
import { slugOf, waitUntilReady } from '../control/deployments.ts'
import { all } from '../control/find.ts'
import { waitForModel } from '../control/models.ts'
import type { Output } from '../output.ts'
import type { PlannedFleet } from './machine-plan.ts'

export interface FirstDeployment {
  readonly modelName: string
  readonly modelPath: string
  readonly precision: string
  readonly plan: PlannedFleet
}

/**
 * Sees to it that a model is registered and deployed, and waits until it answers. What is there from an earlier start
 * is used as it is.
 */
export async function deployOnce(
  client: ApiClient,
  { modelName, modelPath, precision, plan }: FirstDeployment,
  output: Output,
  signal: AbortSignal,
): Promise<DeepReadonly<Deployment>> {
  const registered = (await all(client.models.list, {})).find(({ name }) => name === modelName)
  const model =
    registered ??
    (await client.models.create({
      body: { name: modelName, source: { kind: 'path', path: modelPath } },
      signal,
    }))
  if (model.state !== 'ready') await waitForModel(client, model, output, signal)
  const deployments = await all(client.deployments.list, { model: model.id })
  const deployment =
    deployments.find(({ state }) => state !== 'removing') ??
    (await client.deployments.create({
      body: {
        name: slugOf(modelName),
        spec: {
          modelId: model.id,
          contextTokens: plan.contextTokens,
          sessions: plan.sessions,
          precision,
          replicas: { min: 1, max: 4 },
        },
      },
      signal,
    }))
  return waitUntilReady(client, deployment.id, output, signal)
}
