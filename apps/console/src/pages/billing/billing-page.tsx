import { CreditCard, Plus } from 'lucide-react'
import { useState } from 'react'
import { Badge } from '../../components/badge.tsx'
import { Button } from '../../components/button.tsx'
import { Card, Figure } from '../../components/card.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { Empty } from '../../components/empty.tsx'
import { Field, Input } from '../../components/field.tsx'
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
  const [open, setOpen] = useState(false)
  const { data } = balance
  const button = mayDeposit && (
    <Button look="primary" onClick={() => setOpen(true)}>
      <Plus aria-hidden="true" />
      Deposit
    </Button>
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
      <Dialog
        open={open}
        onOpenChange={setOpen}
        title="Deposit"
        about="Books money that the organisation has paid in."
      >
        <DepositForm currency={data?.balance.currency ?? 'USD'} close={() => setOpen(false)} />
      </Dialog>
    </Page>
  )
}

function DepositForm({ currency, close }: { readonly currency: string; readonly close: () => void }) {
  const { values, set, errors, setErrors } = useForm({ amount: '', comment: '' })
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
    <form
      noValidate
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault()
        submit()
      }}
    >
      <Field label={`Amount, in ${currency}`} error={errors.amount}>
        <Input
          inputMode="decimal"
          autoFocus
          value={values.amount}
          onChange={(event) => set('amount', event.target.value)}
        />
      </Field>
      <Field label="Comment" hint="Such as the number of an invoice.">
        <Input
          maxLength={200}
          value={values.comment}
          onChange={(event) => set('comment', event.target.value)}
        />
      </Field>
      {deposit.error !== null && <Problem error={deposit.error} />}
      <DialogActions>
        <Button onClick={close}>Cancel</Button>
        <Button type="submit" look="primary" busy={deposit.isPending}>
          Deposit
        </Button>
      </DialogActions>
    </form>
  )
}
