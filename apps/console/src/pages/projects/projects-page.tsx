import { projectCreateSchema, projectUpdateSchema } from '@deos/sdk'
import { FolderKanban, Plus } from 'lucide-react'
import { useState } from 'react'
import { BudgetFields, budgetOf, budgetText } from '../../components/budget-fields.tsx'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { Empty } from '../../components/empty.tsx'
import { Field, Input } from '../../components/field.tsx'
import { Meter } from '../../components/meter.tsx'
import { Page } from '../../components/page.tsx'
import { Problem } from '../../components/problem.tsx'
import { type Column, ListTable } from '../../components/table.tsx'
import { Time } from '../../components/time.tsx'
import { useToast } from '../../components/toast.tsx'
import { errorsOf, serverErrorsOf, useForm } from '../../data/form.ts'
import { useProjects, useSettings } from '../../data/lists.ts'
import { useRefresh } from '../../data/query.ts'
import { useClient, useMay } from '../../data/session.tsx'
import type { Project } from '../../data/types.ts'
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
  const [creating, setCreating] = useState(false)
  const button = mayWrite && (
    <Button look="primary" onClick={() => setCreating(true)}>
      <Plus aria-hidden="true" />
      New project
    </Button>
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
      <Dialog open={creating} onOpenChange={setCreating} title="New project">
        <ProjectForm project={null} close={() => setCreating(false)} />
      </Dialog>
    </Page>
  )
}

function ProjectActions({ project }: { readonly project: Project }) {
  const client = useClient()
  const refresh = useRefresh()
  const toast = useToast()
  const mayWrite = useMay('projects:write')
  const [open, setOpen] = useState<'edit' | 'remove' | null>(null)
  if (!mayWrite) return null
  const used = project.deployments + project.keys > 0
  const remove = async () => {
    await client.projects.remove({ params: { project: project.id } })
    toast({ text: `${project.title} is removed.` })
    await refresh('projects')
  }
  return (
    <div className="flex justify-end gap-1">
      <Button size="small" look="quiet" aria-label={`Edit ${project.title}`} onClick={() => setOpen('edit')}>
        Edit
      </Button>
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
        onClick={() => setOpen('remove')}
      >
        Remove
      </Button>
      <Dialog
        open={open === 'edit'}
        onOpenChange={(next) => !next && setOpen(null)}
        title={`Edit ${project.title}`}
      >
        <ProjectForm project={project} close={() => setOpen(null)} />
      </Dialog>
      <Confirm
        open={open === 'remove'}
        onOpenChange={(next) => !next && setOpen(null)}
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

function ProjectForm({ project, close }: { readonly project: Project | null; readonly close: () => void }) {
  const currency = useSettings().data?.currency ?? 'USD'
  const { values, set, merge, errors, setErrors } = useForm({
    name: project?.name ?? '',
    title: project?.title ?? '',
    ...budgetText(project?.budget ?? null, project?.rateLimit ?? null),
  })
  const { budget, rateLimit, errors: wrongBudget } = budgetOf(values, currency)
  const common = { ...(values.title !== '' && { title: values.title }), budget, rateLimit }
  const save = useAction(
    (client, _input: undefined, idempotencyKey) =>
      project === null
        ? client.projects.create({ body: { name: values.name, ...common }, idempotencyKey })
        : client.projects.update({ params: { project: project.id }, body: common }),
    { changes: ['projects'], done: 'Saved.', quiet: true, onDone: close },
  )
  const submit = () => {
    const wrong = {
      ...(project === null
        ? errorsOf(projectCreateSchema, { name: values.name, ...common })
        : errorsOf(projectUpdateSchema, common)),
      ...wrongBudget,
    }
    setErrors(wrong)
    if (Object.keys(wrong).length === 0)
      save.mutate(undefined, { onError: (error) => setErrors(serverErrorsOf(error)) })
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
      {project === null && (
        <Field label="Short name" hint="In addresses and commands." error={errors.name}>
          <Input autoFocus value={values.name} onChange={(event) => set('name', event.target.value)} />
        </Field>
      )}
      <Field label="Title" error={errors.title}>
        <Input value={values.title} onChange={(event) => set('title', event.target.value)} />
      </Field>
      <div className="grid gap-4 sm:grid-cols-2">
        <BudgetFields values={values} onChange={merge} errors={errors} currency={currency} />
      </div>
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
