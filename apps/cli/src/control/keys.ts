import type { ApiClient, KeyScope } from '@deos/sdk'
import type { Output } from '../output.ts'
import { formatTable } from '../text/table.ts'
import { type ControlFlags, openControl } from './connection.ts'
import { all, findKey } from './find.ts'
import { shownAge, shownMoney } from './shown.ts'

export interface CreateKeyFlags extends ControlFlags {
  readonly scope: readonly KeyScope[]
  readonly expires?: number
  readonly requestsPerMinute?: number
  readonly tokensPerMinute?: number
  readonly budget?: { readonly limit: { currency: string; microUnits: string }; readonly period: Period }
}

type Period = 'day' | 'week' | 'month' | 'total'
type KeyBody = Parameters<ApiClient['keys']['create']>[0]['body']

const dayMs = 86_400_000

export async function createKey(name: string, flags: CreateKeyFlags, output: Output): Promise<void> {
  const { scope, expires, requestsPerMinute, tokensPerMinute, budget } = flags
  const body: KeyBody = {
    name,
    scopes: scope.length === 0 ? ['inference'] : [...scope],
    expiresAt: expires === undefined ? null : new Date(Date.now() + expires * dayMs).toISOString(),
    budget: budget ?? null,
    rateLimit: {
      requestsPerMinute: requestsPerMinute ?? null,
      tokensPerMinute: tokensPerMinute ?? null,
    },
  }
  const created = await openControl(flags).keys.create({ body })
  output.result(created, () => created.secret)
  output.note(`Key "${created.key.name}" is shown this once.`)
}

export async function listKeys(flags: ControlFlags & { readonly all?: true }, output: Output): Promise<void> {
  const keys = await all(openControl(flags).keys.list, { all: flags.all === true })
  output.result({ keys }, () =>
    keys.length === 0
      ? 'There is no key. Create one with "deos key create <name>".'
      : formatTable(
          [
            { title: 'name' },
            { title: 'begins' },
            { title: 'may' },
            { title: 'spent', align: 'right' },
            { title: 'used' },
            { title: 'id' },
            { title: '' },
          ],
          keys.map(({ name, prefix, scopes, spent, lastUsedAt, id, revokedAt }) => [
            name,
            `${prefix}…`,
            scopes.join(', '),
            shownMoney(spent),
            shownAge(lastUsedAt, new Date()) || 'never',
            id,
            revokedAt === null ? '' : 'revoked',
          ]),
        ),
  )
}

export async function revokeKey(wanted: string, flags: ControlFlags, output: Output): Promise<void> {
  const client = openControl(flags)
  const { id, name } = await findKey(client, wanted)
  await client.keys.revoke({ params: { key: id } })
  output.result({ revoked: id }, () => `Key "${name}" no longer works.`)
}
