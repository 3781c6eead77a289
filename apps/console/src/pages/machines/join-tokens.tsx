import { KeyRound } from 'lucide-react'
import { StateBadge } from '../../components/badge.tsx'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { Empty } from '../../components/empty.tsx'
import { type Column, ListTable } from '../../components/table.tsx'
import { Time } from '../../components/time.tsx'
import { useList } from '../../data/query.ts'
import type { JoinToken } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'
import { nothing } from '../../format/numbers.ts'

const columns: readonly Column<JoinToken>[] = [
  {
    name: 'Token',
    cell: ({ name, prefix }) => (
      <>
        <div className="font-medium">{name}</div>
        <code className="font-mono text-xs text-ink-3">{prefix}…</code>
      </>
    ),
  },
  { name: 'Works', cell: ({ status }) => <StateBadge state={status} /> },
  {
    name: 'Location',
    cell: ({ location }) => (location === null ? nothing : `${location.region} · ${location.provider}`),
  },
  {
    name: 'Joined',
    align: 'right',
    cell: ({ joinedMachines, maxMachines }) => `${joinedMachines} of ${maxMachines ?? 'any'}`,
  },
  { name: 'Ends', align: 'right', cell: ({ expiresAt }) => <Time at={expiresAt} /> },
  { name: 'Actions', actions: true, cell: (token) => <Revoke token={token} /> },
]

function Revoke({ token }: { readonly token: JoinToken }) {
  const revoke = useAction((client) => client.joinTokens.revoke({ params: { joinToken: token.id } }), {
    changes: ['join-tokens'],
    done: `${token.name} no longer works.`,
  })
  if (token.status !== 'usable') return null
  return (
    <Button
      size="small"
      look="quiet"
      busy={revoke.isPending}
      onClick={() => revoke.mutate()}
      aria-label={`Revoke ${token.name}`}
    >
      Revoke
    </Button>
  )
}

export function JoinTokens() {
  const tokens = useList(['join-tokens'], (client, query, signal) =>
    client.joinTokens.list({ query: { ...query, all: false }, signal }),
  )
  return (
    <Card
      title="Join tokens"
      about="With which machines may join. Those that joined stay when theirs ends."
      flush
    >
      <ListTable
        label="Join tokens"
        list={tokens}
        columns={columns}
        rowKey={({ id }) => id}
        empty={
          <Empty icon={KeyRound} title="No token works now">
            Adding a machine creates one.
          </Empty>
        }
      />
    </Card>
  )
}
