import { type ApiClient, eachItem, type Page } from '@deos/sdk'
import { CommandError, UsageError } from '../cli-error.ts'
import { closest } from '../text/closest.ts'

interface Named {
  readonly id: string
  readonly name: string
}

/** All items of a list, however many pages it has. */
export async function all<T, Q extends { readonly cursor?: string | undefined }>(
  list: (call: { readonly query?: Q | undefined }) => Promise<Page<T>>,
  query: NoInfer<Q>,
): Promise<readonly Page<T>['items'][number][]> {
  const items: Page<T>['items'][number][] = []
  for await (const item of eachItem(list, query)) items.push(item)
  return items
}

/**
 * The one of a name or id.
 *
 * @throws CommandError if there is none, with the nearest name; UsageError if several have the name
 */
export function pick<T extends Named>(kind: string, wanted: string, items: readonly T[]): T {
  const byId = items.find(({ id }) => id === wanted)
  if (byId) return byId
  const named = items.filter(({ name }) => name === wanted)
  if (named.length === 1) return named[0]!
  if (named.length > 1) {
    throw new UsageError(
      `${named.length} of the ${kind}s are called "${wanted}".`,
      `Name one by its id: ${named.map(({ id }) => id).join(', ')}.`,
    )
  }
  const near = closest(
    wanted,
    items.map(({ name }) => name),
  )
  const hint =
    near !== null
      ? `Did you mean ${near}?`
      : items.length === 0
        ? `There is no ${kind} yet.`
        : `There are: ${items
            .slice(0, 10)
            .map(({ name }) => name)
            .join(', ')}.`
  throw new CommandError(`There is no ${kind} "${wanted}".`, hint)
}

export const findMachine = async (client: ApiClient, wanted: string) =>
  pick('machine', wanted, await all(client.machines.list, {}))

export const findModel = async (client: ApiClient, wanted: string) =>
  pick('model', wanted, await all(client.models.list, {}))

export const findDeployment = async (client: ApiClient, wanted: string) =>
  pick('deployment', wanted, await all(client.deployments.list, {}))

export const findKey = async (client: ApiClient, wanted: string) =>
  pick('key', wanted, await all(client.keys.list, {}))
