import { reviseSchema } from '@deos/sdk'
import { Pencil } from 'lucide-react'
import { useState } from 'react'
import { Button } from '../../components/button.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { Field, Input, Select } from '../../components/field.tsx'
import { Problem } from '../../components/problem.tsx'
import { errorsOf, serverErrorsOf, useForm } from '../../data/form.ts'
import { useModels } from '../../data/lists.ts'
import type { Deployment } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'

/** Wishes for something else in some fields: a rolling update. */
export function Revise({ deployment }: { readonly deployment: Deployment }) {
  const [open, setOpen] = useState(false)
  return (
    <>
      <Button size="small" onClick={() => setOpen(true)}>
        <Pencil aria-hidden="true" />
        New revision
      </Button>
      <Dialog
        open={open}
        onOpenChange={setOpen}
        title={`Revise ${deployment.name}`}
        about="Replicas are replaced one after the other; requests are answered all the while."
      >
        <ReviseForm deployment={deployment} close={() => setOpen(false)} />
      </Dialog>
    </>
  )
}

function ReviseForm({
  deployment: { id, spec },
  close,
}: {
  readonly deployment: Deployment
  readonly close: () => void
}) {
  const models = useModels().items.filter(({ state }) => state === 'ready')
  const { values, set, errors, setErrors } = useForm({
    modelId: spec.modelId as string,
    contextTokens: spec.contextTokens === null ? '' : String(spec.contextTokens),
    sessions: String(spec.sessions),
    precision: spec.precision,
    min: String(spec.replicas.min),
    max: String(spec.replicas.max),
  })
  const changes = {
    modelId: values.modelId,
    contextTokens: values.contextTokens === '' ? null : Number(values.contextTokens),
    sessions: Number(values.sessions),
    precision: values.precision,
    replicas: { min: Number(values.min), max: Number(values.max) },
  }
  const revise = useAction(
    (client, _input: undefined, idempotencyKey) =>
      client.deployments.revise({ params: { deployment: id }, body: { changes }, idempotencyKey }),
    {
      quiet: true,
      changes: ['deployments'],
      done: ({ revision }) => `Revision ${revision} is rolled out.`,
      onDone: close,
    },
  )
  const submit = () => {
    const wrong = errorsOf(reviseSchema, { changes })
    setErrors(wrong)
    if (Object.keys(wrong).length === 0)
      revise.mutate(undefined, { onError: (error) => setErrors(serverErrorsOf(error)) })
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
      <div className="grid gap-4 sm:grid-cols-2">
        <Field label="Model" error={errors['changes.modelId']}>
          <Select
            options={models.map((model) => [model.id, model.name] as const)}
            value={values.modelId}
            onValue={(value) => set('modelId', value)}
          />
        </Field>
        <Field label="Precision" hint="native, F16, Q8_0 and so on." error={errors['changes.precision']}>
          <Input value={values.precision} onChange={(event) => set('precision', event.target.value)} />
        </Field>
        <Field
          label="Context, in tokens"
          hint="Empty is the model’s own."
          error={errors['changes.contextTokens']}
        >
          <Input
            inputMode="numeric"
            value={values.contextTokens}
            onChange={(event) => set('contextTokens', event.target.value)}
          />
        </Field>
        <Field label="Sessions at once" error={errors['changes.sessions']}>
          <Input
            inputMode="numeric"
            value={values.sessions}
            onChange={(event) => set('sessions', event.target.value)}
          />
        </Field>
        <Field label="Replicas, at least" error={errors['changes.replicas.min']}>
          <Input
            inputMode="numeric"
            value={values.min}
            onChange={(event) => set('min', event.target.value)}
          />
        </Field>
        <Field label="Replicas, at most" error={errors['changes.replicas.max']}>
          <Input
            inputMode="numeric"
            value={values.max}
            onChange={(event) => set('max', event.target.value)}
          />
        </Field>
      </div>
      {revise.error !== null && <Problem error={revise.error} />}
      <DialogActions>
        <Button onClick={close}>Cancel</Button>
        <Button type="submit" look="primary" busy={revise.isPending}>
          Roll it out
        </Button>
      </DialogActions>
    </form>
  )
}
