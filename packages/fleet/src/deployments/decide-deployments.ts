import { decideFact } from './decide-facts.ts'
import { decideWish } from './decide-wishes.ts'
import type { DeploymentsState } from './deployment.ts'
import type { DeploymentCommand, DeploymentContext, DeploymentWish } from './deployment-commands.ts'
import type { DeploymentEvent } from './deployment-events.ts'
import { defaultReconcilerSettings, type ReconcilerSettings } from './reconciler-settings.ts'

const wishes: ReadonlySet<string> = new Set<DeploymentWish['type']>([
  'create',
  'revise',
  'rollback',
  'scale',
  'pause',
  'resume',
  'remove',
])

const isWish = (command: DeploymentCommand): command is DeploymentWish => wishes.has(command.type)

/**
 * What happens when a command comes in: nothing if it is so already, or no longer concerns anything.
 *
 * @throws DeploymentError if a wish cannot be granted or a value makes no sense
 */
export function decideDeployments(
  state: DeploymentsState,
  command: DeploymentCommand,
  context: DeploymentContext,
  settings: ReconcilerSettings = defaultReconcilerSettings,
): readonly DeploymentEvent[] {
  return isWish(command) ? decideWish(state, command, context) : decideFact(state, command, context, settings)
}
