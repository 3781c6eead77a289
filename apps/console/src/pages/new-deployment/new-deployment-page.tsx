import { deploymentCreateSchema } from '@deos/sdk'
import { getRouteApi, Link } from '@tanstack/react-router'
import { Boxes } from 'lucide-react'
import { useState } from 'react'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import {
  AmountFields,
  ModelFields,
  PolicyFields,
  TargetFields,
} from '../../components/deployment-spec/spec-fields.tsx'
import { emptySpec, useSpecForm } from '../../components/deployment-spec/spec-form.ts'
import { Empty } from '../../components/empty.tsx'
import { SelectField, TextField } from '../../components/field.tsx'
import { FieldGrid, Form } from '../../components/form.tsx'
import { BackLink, Page } from '../../components/page.tsx'
import { Problem } from '../../components/problem.tsx'
import { SkeletonPage } from '../../components/skeleton.tsx'
import { useDebounced } from '../../data/debounced.ts'
import { errorsOf, type FieldErrors, serverErrorsOf } from '../../data/form.ts'
import { useModels, useProjects, useSettings } from '../../data/lists.ts'
import { useData } from '../../data/query.ts'
import type { Deployment, Model } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'
import { PreviewPanel } from './preview-panel.tsx'

const route = getRouteApi('/app/deployments/new')
const restMs = 350

/** A name of a deployment, made from a model's. */
const suggestedName = (model: Model | undefined): string =>
  (model?.name.split('/').at(-1) ?? '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 40)
    .replace(/-+$/, '')

export function NewDeploymentPage() {
  const models = useModels()
  const { model: asked } = route.useSearch()
  const ready = models.items.filter(({ state }) => state === 'ready')
  if (models.isPending) return <SkeletonPage />
  return (
    <Page
      title="New deployment"
      about="Say what should run. Where it runs is found, shown before it starts, and kept true afterwards."
      back={<BackLink to="/deployments">Deployments</BackLink>}
    >
      {models.error !== null && ready.length === 0 ? (
        <Problem error={models.error} retry={models.refetch} />
      ) : ready.length === 0 ? (
        <Card>
          <Empty
            icon={Boxes}
            title="No model is ready"
            command="deos model add <path>"
            action={
              <Button look="primary" asChild>
                <Link to="/models" search={{ add: true }}>
                  Add a model
                </Link>
              </Button>
            }
          >
            A deployment keeps a model running, so one has to be there first.
          </Empty>
        </Card>
      ) : (
        <DeploymentForm models={ready} first={ready.find(({ id }) => id === asked) ?? ready[0]!} />
      )}
    </Page>
  )
}

interface Identity {
  readonly name: string | null
  readonly servedAs: string
  readonly projectId: string
}

function DeploymentForm({ models, first }: { readonly models: readonly Model[]; readonly first: Model }) {
  const navigate = route.useNavigate()
  const currency = useSettings().data?.currency ?? 'USD'
  const projects = useProjects().items
  const form = useSpecForm({ ...emptySpec, modelId: first.id }, currency)
  const [identity, setIdentity] = useState<Identity>({ name: null, servedAs: '', projectId: '' })
  const [identityErrors, setIdentityErrors] = useState<FieldErrors>({})
  const { spec } = form
  const model = models.find(({ id }) => id === form.fields.modelId)
  const name = identity.name ?? suggestedName(model)
  const asked = useDebounced(spec === null ? null : JSON.stringify(spec), restMs)
  const preview = useData(
    ['preview', asked],
    (client, signal) => client.deployments.preview({ body: { spec: JSON.parse(asked!) }, signal }),
    { enabled: asked !== null },
  )
  const create = useAction(
    (
      client,
      body: Parameters<typeof client.deployments.create>[0]['body'],
      idempotencyKey,
    ): Promise<Deployment> => client.deployments.create({ body, idempotencyKey }),
    {
      quiet: true,
      changes: ['deployments'],
      done: ({ name: made }) => `${made} is on its way.`,
      onDone: ({ id }) => void navigate({ to: '/deployments/$deployment', params: { deployment: id } }),
    },
  )
  const submit = () => {
    const body = {
      name,
      ...(identity.servedAs !== '' && { servedAs: identity.servedAs }),
      ...(identity.projectId !== '' && { projectId: identity.projectId }),
      spec,
    }
    const wrong = errorsOf(deploymentCreateSchema, body)
    setIdentityErrors(wrong)
    const parsed = deploymentCreateSchema.safeParse(body)
    if (parsed.success) {
      create.mutate(parsed.data, {
        onError: (error) => {
          const problems = serverErrorsOf(error)
          setIdentityErrors(problems)
          form.refuse(problems, 'spec')
        },
      })
    }
  }
  return (
    <Form className="grid items-start gap-5 lg:grid-cols-[minmax(0,1fr)_minmax(0,26rem)]" onSubmit={submit}>
      <div className="flex min-w-0 flex-col gap-5">
        <Card title="What">
          <FieldGrid>
            <ModelFields form={form} models={models} />
            <TextField
              label="Name"
              error={identityErrors.name}
              value={name}
              onValue={(value) => setIdentity({ ...identity, name: value })}
            />
            <TextField
              label="Served as"
              hint="The model’s name in requests."
              error={identityErrors.servedAs}
              placeholder={model?.name ?? ''}
              value={identity.servedAs}
              onValue={(servedAs) => setIdentity({ ...identity, servedAs })}
            />
            {projects.length > 0 && (
              <SelectField
                label="Project"
                hint="Whose budget and limits count."
                options={projects.map(({ id, title }) => [id as string, title] as const)}
                value={identity.projectId || projects[0]!.id}
                onValue={(projectId) => setIdentity({ ...identity, projectId })}
              />
            )}
          </FieldGrid>
        </Card>
        <Card title="How much">
          <AmountFields form={form} models={models} />
        </Card>
        <Card title="Where" about="Nothing chosen allows all.">
          <PolicyFields form={form} />
        </Card>
        <Card title="Target" about="What it should achieve; what stays empty does not matter.">
          <TargetFields form={form} currency={currency} />
        </Card>
      </div>
      <div className="flex min-w-0 flex-col gap-4 lg:sticky lg:top-20">
        <PreviewPanel query={preview} valid={spec !== null} minReplicas={spec?.replicas.min ?? 1} />
        {create.error !== null && <Problem error={create.error} />}
        <Button
          type="submit"
          look="primary"
          disabled={spec === null}
          busy={create.isPending}
          className="h-10"
        >
          Deploy
        </Button>
      </div>
    </Form>
  )
}
