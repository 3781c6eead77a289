import { modelCreateSchema } from '@deos/sdk'
import { useNavigate } from '@tanstack/react-router'
import { Dialog } from '../../components/dialog.tsx'
import { TextField } from '../../components/field.tsx'
import { DialogForm, FieldGrid } from '../../components/form.tsx'
import { Segmented } from '../../components/segmented.tsx'
import { useForm } from '../../data/form.ts'
import type { BodyOf, Client, Model } from '../../data/types.ts'
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
  const { values, set, field, send } = useForm(initial)
  const create = useAction(
    (client, body: BodyOf<Client['models']['create']>, idempotencyKey): Promise<Model> =>
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
  const body = {
    source: sourceOf(values),
    ...(values.name !== '' && { name: values.name }),
    digest: values.digest === '' ? null : values.digest,
  }
  return (
    <DialogForm
      close={close}
      verb="Add model"
      sending={create}
      onSubmit={() => send(modelCreateSchema, body, create)}
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
      {values.kind === 'path' ? (
        <TextField
          label="Path"
          hint="Of a file or folder on the control plane’s machine."
          placeholder="/models/nano-chat.gguf"
          className="w-full font-mono"
          {...field('path', 'source.path')}
        />
      ) : (
        <>
          <TextField
            label="Repository"
            placeholder="owner/name"
            className="w-full font-mono"
            {...field('repository', 'source.repository')}
          />
          <FieldGrid>
            <TextField
              label="File"
              hint="Empty takes the whole repository."
              placeholder="model-Q8_0.gguf"
              className="w-full font-mono"
              {...field('file', 'source.file')}
            />
            <TextField
              label="Branch, tag or commit"
              className="w-full font-mono"
              {...field('revision', 'source.revision')}
            />
          </FieldGrid>
        </>
      )}
      <TextField label="Name" hint="Empty takes the name the model states." {...field('name')} />
      <TextField
        label="Checksum"
        hint="sha256:… of the file; other bytes are refused. May stay empty."
        className="w-full font-mono"
        {...field('digest')}
      />
    </DialogForm>
  )
}
