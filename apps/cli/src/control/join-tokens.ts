import type { Output } from '../output.ts'
import { formatTable } from '../text/table.ts'
import { type ControlFlags, openControl } from './connection.ts'
import { all, pick } from './find.ts'

export interface CreateJoinTokenFlags extends ControlFlags {
  readonly machines?: number
  readonly hours: number
  readonly region?: string
  readonly provider?: string
}

export async function createJoinToken(
  name: string,
  flags: CreateJoinTokenFlags,
  output: Output,
): Promise<void> {
  const { machines, hours, region, provider } = flags
  const located = region !== undefined || provider !== undefined
  const created = await openControl(flags).joinTokens.create({
    body: {
      name,
      validHours: hours,
      maxMachines: machines ?? null,
      location: located ? { region: region ?? 'unknown', provider: provider ?? 'unknown' } : null,
    },
  })
  output.result(created, () => created.command)
  output.note(`Paste this on the machine within ${hours} hours; the token is shown this once.`)
}

export async function listJoinTokens(
  flags: ControlFlags & { readonly all?: true },
  output: Output,
): Promise<void> {
  const tokens = await all(openControl(flags).joinTokens.list, { all: flags.all === true })
  output.result({ joinTokens: tokens }, () =>
    tokens.length === 0
      ? 'There is no join token. Create one with "deos join-token create <name>".'
      : formatTable(
          [
            { title: 'name' },
            { title: 'begins' },
            { title: 'status' },
            { title: 'joined', align: 'right' },
            { title: 'until' },
            { title: 'id' },
          ],
          tokens.map(({ name, prefix, status, joinedMachines, maxMachines, expiresAt, id }) => [
            name,
            `${prefix}…`,
            status,
            maxMachines === null ? String(joinedMachines) : `${joinedMachines}/${maxMachines}`,
            expiresAt,
            id,
          ]),
        ),
  )
}

export async function revokeJoinToken(wanted: string, flags: ControlFlags, output: Output): Promise<void> {
  const client = openControl(flags)
  const { id, name } = pick('join token', wanted, await all(client.joinTokens.list, {}))
  await client.joinTokens.revoke({ params: { joinToken: id } })
  output.result({ revoked: id }, () => `No machine joins with "${name}" any more.`)
}
