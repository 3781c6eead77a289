import { reviseSchema } from '@deos/sdk'
import { Pencil } from 'lucide-react'
import {
  AmountFields,
  ModelFields,
  PolicyFields,
  TargetFields,
} from '../../components/deployment-spec/spec-fields.tsx'
import { changesOf, fieldsOf, useSpecForm } from '../../components/deployment-spec/spec-form.ts'
import { DialogButton } from '../../components/dialog-button.tsx'
import { DialogForm, FieldGrid } from '../../components/form.tsx'
import { serverErrorsOf } from '../../data/form.ts'
import { useModels, useSettings } from '../../data/lists.ts'
import type { BodyOf, Client, Deployment } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'

interface ReviseProps {
  readonly deployment: Deployment
}

/** Wishes for something else in some fields: a rolling update. */
export const Revise = ({ deployment }: ReviseProps) => (
  <DialogButton
    size="small"
    wide
    title={`Revise ${deployment.name}`}
    about="Replicas are replaced one after the other; requests are answered all the while."
    shows={
      <>
        <Pencil aria-hidden="true" />
        New revision
      </>
    }
  >
    {(close) => <ReviseForm deployment={deployment} close={close} />}
  </DialogButton>
)

function ReviseForm({ deployment: { id, spec }, close }: ReviseProps & { readonly close: () => void }) {
  // The model that runs is shown even if it would not be offered any more.
  const models = useModels().items.filter(
    ({ id: model, state }) => state === 'ready' || model === spec.modelId,
  )
  const known = useSettings().data?.currency
  const currency = spec.target.pricePerMillionTokens?.currency ?? known ?? 'USD'
  const form = useSpecForm(fieldsOf(spec), currency)
  const revise = useAction(
    (client, body: BodyOf<Client['deployments']['revise']>, idempotencyKey) =>
      client.deployments.revise({ params: { deployment: id }, body, idempotencyKey }),
    {
      quiet: true,
      changes: ['deployments'],
      done: ({ revision }) => `Revision ${revision} is rolled out.`,
      onDone: close,
    },
  )
  const changes = form.spec === null ? {} : changesOf(spec, form.spec)
  const submit = () => {
    const body = reviseSchema.safeParse({ changes })
    if (!body.success) return
    revise.mutate(body.data, { onError: (error) => form.refuse(serverErrorsOf(error), 'changes') })
  }
  return (
    <DialogForm
      close={close}
      verb="Roll it out"
      disabled={Object.keys(changes).length === 0}
      sending={revise}
      onSubmit={submit}
    >
      <FieldGrid>
        <ModelFields form={form} models={models} />
      </FieldGrid>
      <AmountFields form={form} models={models} />
      <fieldset>
        <legend className="mb-3 text-sm font-semibold">Where; nothing chosen allows all</legend>
        <PolicyFields form={form} />
      </fieldset>
      <fieldset>
        <legend className="mb-3 text-sm font-semibold">Target; what stays empty does not matter</legend>
        <TargetFields form={form} currency={currency} />
      </fieldset>
    </DialogForm>
  )
}
