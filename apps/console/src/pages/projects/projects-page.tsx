import { projectCreateSchema, projectUpdateSchema } from '@deos/sdk'
import { FolderKanban, Plus } from 'lucide-react'
import { useState } from 'react'
import { BudgetFields, type BudgetText, budgetOf, budgetText } from '../../components/budget-fields.tsx'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { DialogButton } from '../../components/dialog-button.tsx'
import { Empty } from '../../components/empty.tsx'
import { TextField } from '../../components/field.tsx'
import { DialogForm, FieldGrid } from '../../components/form.tsx'
import { Meter } from '../../components/meter.tsx'
import { Page } from '../../components/page.tsx'
import { type Column, ListTable } from '../../components/table.tsx'
import { Time } from '../../components/time.tsx'
import { useToast } from '../../components/toast.tsx'
import { useForm } from '../../data/form.ts'
import { useProjects, useSettings } from '../../data/lists.ts'
import { useRefresh } from '../../data/query.ts'
import { useClient, useMay } from '../../data/session.tsx'
import type { BodyOf, Client, Project } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'
import { formatMoney, unitsOf } from '../../format/money.ts'
import { plural } from '../../format/numbers.ts'
import { limitText } from '../keys/keys-page.tsx'

const columns: readonly Column<Project>[] = [
  {
    name: 'Project',
    cell: ({ title, name }) => (
      <>
        <div className="font-medium">{title}</div>
        <code className="font-mono text-xs text-ink-3">{name}</code>
      </>
    ),
  },
  { name: 'Spent', className: 'md:min-w-56', cell: (project) => <Spent project={project} /> },
  { name: 'Limits', cell: ({ rateLimit }) => limitText(rateLimit) },
  { name: 'Deployments', align: 'right', cell: ({ deployments }) => deployments },
  { name: 'Keys', align: 'right', cell: ({ keys }) => keys },
  { name: 'Created', align: 'right', cell: ({ createdAt }) => <Time at={createdAt} /> },
  { name: 'Actions', actions: true, cell: (project) => <ProjectActions project={project} /> },
]

function Spent({ project: { spent, budget } }: { readonly project: Project }) {
  if (budget === null) return <>{formatMoney(spent)}, no budget</>
  const period = budget.period === 'total' ? 'in total' : `a ${budget.period}`
  return (
    <>
      <Meter
        label="Budget spent"
        fraction={unitsOf(budget.limit) === 0 ? 1 : unitsOf(spent) / unitsOf(budget.limit)}
      />
      <div className="text-xs text-ink-3">
        {formatMoney(spent)} of {formatMoney(budget.limit)} {period}
      </div>
    </>
  )
}

export function ProjectsPage() {
  const projects = useProjects()
  const mayWrite = useMay('projects:write')
  const button = mayWrite && (
    <DialogButton
      look="primary"
      title="New project"
      shows={
        <>
          <Plus aria-hidden="true" />
          New project
        </>
      }
    >
      {(close) => <NewProject close={close} />}
    </DialogButton>
  )
  return (
    <Page
      title="Projects"
      about="Parts of the organisation with budgets and limits of their own."
      actions={button}
    >
      <Card title="All projects" flush>
        <ListTable
          label="Projects"
          list={projects}
          columns={columns}
          rowKey={({ id }) => id}
          empty={
            <Empty icon={FolderKanban} title="No projects" action={button}>
              Keys and deployments belong to a project, whose budget they share.
            </Empty>
          }
        />
      </Card>
    </Page>
  )
}

function ProjectActions({ project }: { readonly project: Project }) {
  const client = useClient()
  const refresh = useRefresh()
  const toast = useToast()
  const mayWrite = useMay('projects:write')
  const [removing, setRemoving] = useState(false)
  if (!mayWrite) return null
  const used = project.deployments + project.keys > 0
  const remove = async () => {
    await client.projects.remove({ params: { project: project.id } })
    toast({ text: `${project.title} is removed.` })
    await refresh('projects')
  }
  return (
    <div className="flex justify-end gap-1">
      <DialogButton
        size="small"
        look="quiet"
        aria-label={`Edit ${project.title}`}
        title={`Edit ${project.title}`}
        shows="Edit"
      >
        {(close) => <EditProject project={project} close={close} />}
      </DialogButton>
      <Button
        size="small"
        look="quiet"
        disabled={used}
        title={
          used
            ? `${plural(project.deployments, 'deployment')} and ${plural(project.keys, 'key')} belong to it`
            : undefined
        }
        aria-label={`Remove ${project.title}`}
        onClick={() => setRemoving(true)}
      >
        Remove
      </Button>
      <Confirm
        open={removing}
        onOpenChange={setRemoving}
        title={`Remove ${project.title}`}
        verb="Remove"
        danger
        act={remove}
      >
        It has neither deployments nor keys. Its usage stays in the books.
      </Confirm>
    </div>
  )
}

interface ClosingProps {
  readonly close: () => void
}

function NewProject({ close }: ClosingProps) {
  const form = useForm({ name: '', title: '', ...budgetText(null, null) })
  const create = useAction(
    (client, body: BodyOf<Client['projects']['create']>, idempotencyKey) =>
      client.projects.create({ body, idempotencyKey }),
    { changes: ['projects'], done: 'Saved.', quiet: true, onDone: close },
  )
  const { body, currency, errors } = useProjectBody(form.values)
  const submit = () => form.send(projectCreateSchema, { name: form.values.name, ...body }, create, errors)
  return (
    <DialogForm close={close} verb="Save" sending={create} onSubmit={submit}>
      <TextField label="Short name" hint="In addresses and commands." autoFocus {...form.field('name')} />
      <TextField label="Title" {...form.field('title')} />
      <FieldGrid>
        <BudgetFields values={form.values} onChange={form.merge} errors={form.errors} currency={currency} />
      </FieldGrid>
    </DialogForm>
  )
}

function EditProject({ project, close }: ClosingProps & { readonly project: Project }) {
  const form = useForm({ title: project.title, ...budgetText(project.budget, project.rateLimit) })
  const save = useAction(
    (client, body: BodyOf<Client['projects']['update']>) =>
      client.projects.update({ params: { project: project.id }, body }),
    { changes: ['projects'], done: 'Saved.', quiet: true, onDone: close },
  )
  const { body, currency, errors } = useProjectBody(form.values)
  return (
    <DialogForm
      close={close}
      verb="Save"
      sending={save}
      onSubmit={() => form.send(projectUpdateSchema, body, save, errors)}
    >
      <TextField label="Title" {...form.field('title')} />
      <FieldGrid>
        <BudgetFields values={form.values} onChange={form.merge} errors={form.errors} currency={currency} />
      </FieldGrid>
    </DialogForm>
  )
}

/** What new and changed projects have in common, as the API takes it. */
function useProjectBody({ title, ...budgetFields }: BudgetText & { readonly title: string }) {
  const currency = useSettings().data?.currency ?? 'USD'
  const { budget, rateLimit, errors } = budgetOf(budgetFields, currency)
  return { body: { ...(title !== '' && { title }), budget, rateLimit }, currency, errors }
}
