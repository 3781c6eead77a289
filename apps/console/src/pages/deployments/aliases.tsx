import { aliasSetSchema, modelNameSchema } from '@deos/sdk'
import { Link } from '@tanstack/react-router'
import { Plus, Signpost, Trash2 } from 'lucide-react'
import { useState } from 'react'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { Empty } from '../../components/empty.tsx'
import { Field, Input, Select } from '../../components/field.tsx'
import { Problem } from '../../components/problem.tsx'
import { ListTable } from '../../components/table.tsx'
import { Time } from '../../components/time.tsx'
import { errorsOf, useForm } from '../../data/form.ts'
import { useAliases, useDeployments } from '../../data/lists.ts'
import { useNames } from '../../data/names.ts'
import { useMay } from '../../data/session.tsx'
import type { Alias } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'

/** Other names under which requests reach deployments. */
export function Aliases() {
  const aliases = useAliases()
  const names = useNames()
  const mayWrite = useMay('deployments:write')
  const [open, setOpen] = useState(false)
  const add = mayWrite && (
    <Button size="small" onClick={() => setOpen(true)}>
      <Plus aria-hidden="true" />
      Add alias
    </Button>
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
      <Dialog open={open} onOpenChange={setOpen} title="Add or move an alias">
        <AliasForm close={() => setOpen(false)} />
      </Dialog>
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
  const { values, set, errors, setErrors } = useForm({ name: '', deploymentId: deployments[0]?.id ?? '' })
  const save = useAction(
    (client) =>
      client.aliases.set({ params: { alias: values.name }, body: { deploymentId: values.deploymentId } }),
    { changes: ['aliases'], done: `${values.name} is set.`, quiet: true, onDone: close },
  )
  const submit = () => {
    const name = modelNameSchema.safeParse(values.name)
    const wrong = {
      ...errorsOf(aliasSetSchema, { deploymentId: values.deploymentId }),
      ...(!name.success && { name: 'Must be letters, digits, ".", "_" and "-"; "/" may part it.' }),
    }
    setErrors(wrong)
    if (Object.keys(wrong).length === 0) save.mutate()
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
      <Field label="Alias" hint="The model’s name in requests." error={errors.name}>
        <Input
          value={values.name}
          className="w-full font-mono"
          onChange={(event) => set('name', event.target.value)}
        />
      </Field>
      <Field label="Deployment" error={errors.deploymentId}>
        <Select
          options={deployments.map(({ id, name }) => [id, name] as const)}
          value={values.deploymentId}
          onValue={(value) => set('deploymentId', value)}
        />
      </Field>
      {save.error !== null && <Problem error={save.error} />}
      <DialogActions>
        <Button onClick={close}>Cancel</Button>
        <Button type="submit" look="primary" busy={save.isPending}>
          Save
        </Button>
      </DialogActions>
    </form>
  )
}
