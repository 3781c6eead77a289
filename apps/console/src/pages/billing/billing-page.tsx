import { CreditCard, Plus } from 'lucide-react'
import { Badge } from '../../components/badge.tsx'
import { Card, Figure } from '../../components/card.tsx'
import { DialogButton } from '../../components/dialog-button.tsx'
import { Empty } from '../../components/empty.tsx'
import { TextField } from '../../components/field.tsx'
import { DialogForm } from '../../components/form.tsx'
import { Page } from '../../components/page.tsx'
import { Problem } from '../../components/problem.tsx'
import { Skeleton } from '../../components/skeleton.tsx'
import { type Column, ListTable } from '../../components/table.tsx'
import { Time } from '../../components/time.tsx'
import { useForm } from '../../data/form.ts'
import { useData, useList } from '../../data/query.ts'
import { useMay } from '../../data/session.tsx'
import type { LedgerEntry } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'
import { formatMoney, parseMoney } from '../../format/money.ts'

const columns: readonly Column<LedgerEntry>[] = [
  {
    name: 'Entry',
    cell: ({ kind, description }) => (
      <span className="inline-flex flex-wrap items-center gap-2 max-md:justify-end">
        <Badge>{kind}</Badge>
        {description}
      </span>
    ),
  },
  {
    name: 'Postings',
    align: 'right',
    cell: ({ postings }) => (
      <ul className="text-xs">
        {postings.map(({ account, amount }) => (
          <li key={account}>
            <span className="text-ink-3">{account}</span> {formatMoney(amount)}
          </li>
        ))}
      </ul>
    ),
  },
  { name: 'When', align: 'right', cell: ({ at }) => <Time at={at} /> },
]

export function BillingPage() {
  const balance = useData(['ledger', 'balance'], (client, signal) => client.ledger.balance({ signal }), {
    refetchMs: 30_000,
  })
  const entries = useList(
    ['ledger', 'entries'],
    (client, query, signal) => client.ledger.entries({ query, signal }),
    { limit: 50 },
  )
  const mayDeposit = useMay('billing:write')
  const { data } = balance
  const button = mayDeposit && (
    <DialogButton
      look="primary"
      title="Deposit"
      about="Books money that the organisation has paid in."
      shows={
        <>
          <Plus aria-hidden="true" />
          Deposit
        </>
      }
    >
      {(close) => <DepositForm currency={data?.balance.currency ?? 'USD'} close={close} />}
    </DialogButton>
  )
  return (
    <Page
      title="Billing"
      about="Money is reserved before a request begins and settled when it ends, so a balance is never overrun."
      actions={button}
    >
      {data === undefined && balance.error ? (
        <Problem error={balance.error} retry={() => void balance.refetch()} />
      ) : (
        <div className="grid grid-cols-2 gap-3 sm:gap-4 xl:grid-cols-4">
          {data === undefined ? (
            ['a', 'b', 'c', 'd'].map((key) => <Skeleton key={key} className="h-[5.5rem]" />)
          ) : (
            <>
              <Figure label="Balance" value={formatMoney(data.balance)} />
              <Figure label="Reserved" value={formatMoney(data.reserved)} note="by requests that run" />
              <Figure label="Available" value={formatMoney(data.available)} note="to new requests" />
              <Figure label="Earned" value={formatMoney(data.earned)} note="by your machines" />
            </>
          )}
        </div>
      )}
      <Card title="Ledger" about="Every entry adds up to zero." flush>
        <ListTable
          label="Ledger"
          list={entries}
          columns={columns}
          rowKey={({ id }) => id}
          empty={
            <Empty icon={CreditCard} title="No entries" action={button}>
              The first deposit or request writes one.
            </Empty>
          }
        />
      </Card>
    </Page>
  )
}

function DepositForm({ currency, close }: { readonly currency: string; readonly close: () => void }) {
  const { values, field, setErrors } = useForm({ amount: '', comment: '' })
  const amount = parseMoney(values.amount, currency)
  const deposit = useAction(
    (client, _input: undefined, idempotencyKey) =>
      client.ledger.deposit({
        body: { amount: amount!, ...(values.comment.trim() !== '' && { comment: values.comment.trim() }) },
        idempotencyKey,
      }),
    { changes: ['ledger', 'status'], done: 'The deposit is booked.', quiet: true, onDone: close },
  )
  const submit = () => {
    if (amount === null) setErrors({ amount: 'Must be an amount such as 100.00.' })
    else deposit.mutate()
  }
  return (
    <DialogForm close={close} verb="Deposit" sending={deposit} onSubmit={submit}>
      <TextField label={`Amount, in ${currency}`} inputMode="decimal" autoFocus {...field('amount')} />
      <TextField
        label="Comment"
        hint="Such as the number of an invoice."
        maxLength={200}
        {...field('comment')}
      />
    </DialogForm>
  )
}
