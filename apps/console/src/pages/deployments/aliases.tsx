import { aliasSetSchema, modelNameSchema } from '@deos/sdk'
import { Link } from '@tanstack/react-router'
import { Plus, Signpost, Trash2 } from 'lucide-react'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { DialogButton } from '../../components/dialog-button.tsx'
import { Empty } from '../../components/empty.tsx'
import { SelectField, TextField } from '../../components/field.tsx'
import { DialogForm } from '../../components/form.tsx'
import { ListTable } from '../../components/table.tsx'
import { Time } from '../../components/time.tsx'
import { type FieldErrors, useForm } from '../../data/form.ts'
import { useAliases, useDeployments } from '../../data/lists.ts'
import { useNames } from '../../data/names.ts'
import { useMay } from '../../data/session.tsx'
import type { Alias, BodyOf, Client } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'

/** Other names under which requests reach deployments. */
export function Aliases() {
  const aliases = useAliases()
  const names = useNames()
  const mayWrite = useMay('deployments:write')
  const add = mayWrite && (
    <DialogButton
      size="small"
      title="Add or move an alias"
      shows={
        <>
          <Plus aria-hidden="true" />
          Add alias
        </>
      }
    >
      {(close) => <AliasForm close={close} />}
    </DialogButton>
  )
  return (
    <Card
      title="Aliases"
      about="Move a name to another deployment, and clients follow without a change."
      flush
      actions={add}
    >
      <ListTable
        label="Aliases"
        list={aliases}
        rowKey={({ name }) => name}
        columns={[
          { name: 'Alias', cell: ({ name }) => <code className="font-mono text-xs">{name}</code> },
          {
            name: 'Means',
            cell: ({ deploymentId }) => (
              <Link
                to="/deployments/$deployment"
                params={{ deployment: deploymentId }}
                className="font-medium hover:underline"
              >
                {names.deployment(deploymentId)}
              </Link>
            ),
          },
          { name: 'Changed', align: 'right', cell: ({ updatedAt }) => <Time at={updatedAt} /> },
          {
            name: 'Actions',
            actions: true,
            cell: (alias) => (mayWrite ? <RemoveAlias alias={alias} /> : null),
          },
        ]}
        empty={
          <Empty icon={Signpost} title="No aliases">
            Requests name a deployment by what it is served as.
          </Empty>
        }
      />
    </Card>
  )
}

function RemoveAlias({ alias: { name } }: { readonly alias: Alias }) {
  const remove = useAction((client) => client.aliases.remove({ params: { alias: name } }), {
    changes: ['aliases'],
    done: `${name} means nothing any more.`,
  })
  return (
    <Button
      size="small"
      look="quiet"
      busy={remove.isPending}
      aria-label={`Remove ${name}`}
      onClick={() => remove.mutate()}
    >
      <Trash2 aria-hidden="true" />
    </Button>
  )
}

function AliasForm({ close }: { readonly close: () => void }) {
  const deployments = useDeployments().items
  const { values, field, send } = useForm({ name: '', deploymentId: deployments[0]?.id ?? '' })
  const save = useAction(
    (client, body: BodyOf<Client['aliases']['set']>) =>
      client.aliases.set({ params: { alias: values.name }, body }),
    { changes: ['aliases'], done: `${values.name} is set.`, quiet: true, onDone: close },
  )
  const wrongName: FieldErrors = modelNameSchema.safeParse(values.name).success
    ? {}
    : { name: 'Must be letters, digits, ".", "_" and "-"; "/" may part it.' }
  const submit = () => send(aliasSetSchema, { deploymentId: values.deploymentId }, save, wrongName)
  return (
    <DialogForm close={close} verb="Save" sending={save} onSubmit={submit}>
      <TextField
        label="Alias"
        hint="The model’s name in requests."
        className="w-full font-mono"
        {...field('name')}
      />
      <SelectField
        label="Deployment"
        options={deployments.map(({ id, name }) => [id, name] as const)}
        {...field('deploymentId')}
      />
    </DialogForm>
  )
}
