import { z } from 'zod'
import { component } from '../contract/registry.ts'
import { deploymentIdSchema } from './id.ts'
import { modelNameSchema } from './text.ts'
import { timestampSchema } from './time.ts'

/** Another name under which requests reach a deployment. */
export const aliasSchema = component(
  'Alias',
  z.object({ name: modelNameSchema, deploymentId: deploymentIdSchema, updatedAt: timestampSchema }),
)
export type Alias = z.output<typeof aliasSchema>

export const aliasSetSchema = component('AliasSet', z.strictObject({ deploymentId: deploymentIdSchema }))
