import { getRouteApi } from '@tanstack/react-router'
import { KeyRound, Plus } from 'lucide-react'
import { useState } from 'react'
import { Badge } from '../../components/badge.tsx'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { Empty } from '../../components/empty.tsx'
import { Check } from '../../components/field.tsx'
import { Page } from '../../components/page.tsx'
import { type Column, ListTable } from '../../components/table.tsx'
import { Time } from '../../components/time.tsx'
import { useToast } from '../../components/toast.tsx'
import { useNow } from '../../data/clock.ts'
import { useKeys } from '../../data/lists.ts'
import { type Names, useNames } from '../../data/names.ts'
import { useRefresh } from '../../data/query.ts'
import { useClient, useMay } from '../../data/session.tsx'
import type { ApiKey } from '../../data/types.ts'
import { formatMoney } from '../../format/money.ts'
import { formatShort, nothing } from '../../format/numbers.ts'
import { CreateKey } from './create-key.tsx'
import { EditKey } from './edit-key.tsx'
import { Snippets } from './snippets.tsx'

const route = getRouteApi('/app/keys')

const columnsWith = (names: Names): readonly Column<ApiKey>[] => [
  {
    name: 'Key',
    cell: (key) => (
      <>
        <div className="flex flex-wrap items-center gap-2 max-md:justify-end">
          <span className="font-medium">{key.name}</span>
          <KeyState apiKey={key} />
        </div>
        <code className="font-mono text-xs text-ink-3">{key.prefix}…</code>
      </>
    ),
  },
  {
    name: 'May',
    cell: ({ scopes }) => (
      <span className="inline-flex flex-wrap gap-1 max-md:justify-end">
        {scopes.map((scope) => (
          <Badge key={scope}>{scope}</Badge>
        ))}
      </span>
    ),
  },
  { name: 'Project', cell: ({ projectId }) => names.project(projectId) },
  {
    name: 'Spent',
    align: 'right',
    cell: ({ spent, budget }) => (
      <>
        <div>{formatMoney(spent)}</div>
        <div className="text-xs text-ink-3">
          {budget === null
            ? 'no budget'
            : `of ${formatMoney(budget.limit)} ${budget.period === 'total' ? 'in total' : `a ${budget.period}`}`}
        </div>
      </>
    ),
  },
  { name: 'Limits', cell: ({ rateLimit }) => limitText(rateLimit) },
  { name: 'Last used', align: 'right', cell: ({ lastUsedAt }) => <Time at={lastUsedAt} none="never" /> },
  { name: 'Ends', align: 'right', cell: ({ expiresAt }) => <Time at={expiresAt} none="never" /> },
  { name: 'Actions', actions: true, cell: (key) => <KeyActions apiKey={key} /> },
]

export function limitText({ requestsPerMinute, tokensPerMinute }: ApiKey['rateLimit']): string {
  const parts = [
    requestsPerMinute !== null && `${formatShort(requestsPerMinute)} requests/min`,
    tokensPerMinute !== null && `${formatShort(tokensPerMinute)} tokens/min`,
  ].filter(Boolean)
  return parts.length === 0 ? nothing : parts.join(', ')
}

function KeyState({ apiKey: { revokedAt, expiresAt } }: { readonly apiKey: ApiKey }) {
  const now = useNow()
  if (revokedAt !== null) return <Badge tone="bad">revoked</Badge>
  return expiresAt !== null && Date.parse(expiresAt) < now ? <Badge>expired</Badge> : null
}

function KeyActions({ apiKey }: { readonly apiKey: ApiKey }) {
  const client = useClient()
  const refresh = useRefresh()
  const toast = useToast()
  const mayWrite = useMay('keys:write')
  const [open, setOpen] = useState(false)
  if (!mayWrite || apiKey.revokedAt !== null) return null
  const revoke = async () => {
    await client.keys.revoke({ params: { key: apiKey.id } })
    toast({ text: `${apiKey.name} no longer works.` })
    await refresh('keys')
  }
  return (
    <div className="flex justify-end gap-1">
      <EditKey apiKey={apiKey} />
      <Button size="small" look="quiet" aria-label={`Revoke ${apiKey.name}`} onClick={() => setOpen(true)}>
        Revoke
      </Button>
      <Confirm
        open={open}
        onOpenChange={setOpen}
        title={`Revoke ${apiKey.name}`}
        verb="Revoke"
        danger
        act={revoke}
      >
        Programs that use it are refused from now on. This cannot be undone.
      </Confirm>
    </div>
  )
}

export function KeysPage() {
  const { create = false, all = false } = route.useSearch()
  const navigate = route.useNavigate()
  const keys = useKeys(all)
  const names = useNames()
  const mayWrite = useMay('keys:write')
  const change = (changes: { create?: true | undefined; all?: true | undefined }) =>
    void navigate({ search: (known) => ({ ...known, ...changes }), replace: true })
  const button = mayWrite && (
    <Button look="primary" onClick={() => change({ create: true })}>
      <Plus aria-hidden="true" />
      Create key
    </Button>
  )
  return (
    <Page
      title="API keys"
      about="What programs use models with. The gateway speaks the language of OpenAI."
      actions={button}
    >
      <Card
        title="Keys"
        flush
        actions={
          <Check
            label="Revoked and expired, too"
            checked={all}
            onChecked={(checked) => change({ all: checked || undefined })}
          />
        }
      >
        <ListTable
          label="API keys"
          list={keys}
          columns={columnsWith(names)}
          rowKey={({ id }) => id}
          empty={
            <Empty icon={KeyRound} title="No keys yet" command="deos key create my-program" action={button}>
              Create one for each program, so that each has limits and a budget of its own.
            </Empty>
          }
        />
      </Card>
      <Snippets secret={null} />
      {mayWrite && <CreateKey open={create} onOpenChange={(open) => change({ create: open || undefined })} />}
    </Page>
  )
}
