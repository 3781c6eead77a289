import { modelCreateSchema } from '@deos/sdk'
import { useNavigate } from '@tanstack/react-router'
import { Button } from '../../components/button.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { Field, Input } from '../../components/field.tsx'
import { Problem } from '../../components/problem.tsx'
import { Segmented } from '../../components/segmented.tsx'
import { errorsOf, type FieldErrors, serverErrorsOf, useForm } from '../../data/form.ts'
import type { Model } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'

const initial = {
  kind: 'huggingface' as 'huggingface' | 'path',
  path: '',
  repository: '',
  revision: 'main',
  file: '',
  name: '',
  digest: '',
}

const sourceOf = ({ kind, path, repository, revision, file }: typeof initial) =>
  kind === 'path'
    ? { kind, path }
    : { kind, repository, revision: revision || 'main', file: file === '' ? null : file }

interface AddModelProps {
  readonly open: boolean
  readonly onOpenChange: (open: boolean) => void
}

export function AddModel({ open, onOpenChange }: AddModelProps) {
  return (
    <Dialog
      open={open}
      onOpenChange={onOpenChange}
      title="Add a model"
      about="GGUF files, or repositories of safetensors."
    >
      <AddForm close={() => onOpenChange(false)} />
    </Dialog>
  )
}

function AddForm({ close }: { readonly close: () => void }) {
  const navigate = useNavigate()
  const { values, set, errors, setErrors } = useForm(initial)
  const body = {
    source: sourceOf(values),
    ...(values.name !== '' && { name: values.name }),
    digest: values.digest === '' ? null : values.digest,
  }
  const create = useAction(
    (client, _input: undefined, idempotencyKey): Promise<Model> =>
      client.models.create({ body, idempotencyKey }),
    {
      quiet: true,
      changes: ['models'],
      done: ({ name }) => `${name} is being registered.`,
      onDone: ({ id }) => {
        close()
        void navigate({ to: '/models/$model', params: { model: id } })
      },
    },
  )
  const submit = () => {
    const wrong = errorsOf(modelCreateSchema, body)
    setErrors(wrong)
    if (Object.keys(wrong).length === 0)
      create.mutate(undefined, { onError: (error) => setErrors(serverErrorsOf(error)) })
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
      <Segmented
        label="Source"
        options={[
          ['huggingface', 'Hugging Face'],
          ['path', 'Local path'],
        ]}
        value={values.kind}
        onValue={(kind) => set('kind', kind)}
      />
      <SourceFields values={values} set={set} errors={errors} />
      <Field label="Name" hint="Empty takes the name the model states." error={errors.name}>
        <Input value={values.name} onChange={(event) => set('name', event.target.value)} />
      </Field>
      <Field
        label="Checksum"
        hint="sha256:… of the file; other bytes are refused. May stay empty."
        error={errors.digest}
      >
        <Input
          value={values.digest}
          className="w-full font-mono"
          onChange={(event) => set('digest', event.target.value)}
        />
      </Field>
      {create.error !== null && <Problem error={create.error} />}
      <DialogActions>
        <Button onClick={close}>Cancel</Button>
        <Button type="submit" look="primary" busy={create.isPending}>
          Add model
        </Button>
      </DialogActions>
    </form>
  )
}

interface SourceFieldsProps {
  readonly values: typeof initial
  readonly set: <K extends keyof typeof initial>(name: K, value: (typeof initial)[K]) => void
  readonly errors: FieldErrors
}

function SourceFields({ values, set, errors }: SourceFieldsProps) {
  if (values.kind === 'path') {
    return (
      <Field
        label="Path"
        hint="Of a file or folder on the control plane’s machine."
        error={errors['source.path']}
      >
        <Input
          placeholder="/models/nano-chat.gguf"
          value={values.path}
          className="w-full font-mono"
          onChange={(event) => set('path', event.target.value)}
        />
      </Field>
    )
  }
  return (
    <>
      <Field label="Repository" error={errors['source.repository']}>
        <Input
          placeholder="owner/name"
          value={values.repository}
          className="w-full font-mono"
          onChange={(event) => set('repository', event.target.value)}
        />
      </Field>
      <div className="grid gap-4 sm:grid-cols-2">
        <Field label="File" hint="Empty takes the whole repository." error={errors['source.file']}>
          <Input
            placeholder="model-Q8_0.gguf"
            value={values.file}
            className="w-full font-mono"
            onChange={(event) => set('file', event.target.value)}
          />
        </Field>
        <Field label="Branch, tag or commit" error={errors['source.revision']}>
          <Input
            value={values.revision}
            className="w-full font-mono"
            onChange={(event) => set('revision', event.target.value)}
          />
        </Field>
      </div>
    </>
  )
}
