import { deploymentCreateSchema } from '@deos/sdk'
import { getRouteApi, Link } from '@tanstack/react-router'
import { ArrowLeft, Boxes } from 'lucide-react'
import { useState } from 'react'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { Empty } from '../../components/empty.tsx'
import { Field, Input, Select } from '../../components/field.tsx'
import { Page } from '../../components/page.tsx'
import { Problem } from '../../components/problem.tsx'
import { SkeletonPage } from '../../components/skeleton.tsx'
import { useDebounced } from '../../data/debounced.ts'
import { errorsOf, type FieldErrors, serverErrorsOf } from '../../data/form.ts'
import { useMachines, useModels, useProjects, useSettings } from '../../data/lists.ts'
import { useData } from '../../data/query.ts'
import type { Deployment, Model } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'
import { formatCount } from '../../format/numbers.ts'
import { PreviewPanel } from './preview-panel.tsx'
import { emptySpec, type SpecFields, specOf } from './spec-form.ts'
import { WordChoice } from './word-choice.tsx'

const route = getRouteApi('/app/deployments/new')
const restMs = 350

const precisions = [
  ['native', 'as the model comes'],
  ['F16', 'F16'],
  ['Q8_0', 'Q8_0, half of F16'],
  ['Q4_0', 'Q4_0, a quarter of F16'],
] as const

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
      back={
        <Link
          to="/deployments"
          className="mb-1 inline-flex items-center gap-1 text-xs text-ink-3 hover:text-ink"
        >
          <ArrowLeft className="size-3.5" aria-hidden="true" />
          Deployments
        </Link>
      }
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
  const [fields, setFields] = useState<SpecFields>({ ...emptySpec, modelId: first.id })
  const [identity, setIdentity] = useState<Identity>({ name: null, servedAs: '', projectId: '' })
  const [identityErrors, setIdentityErrors] = useState<FieldErrors>({})
  const model = models.find(({ id }) => id === fields.modelId)
  const name = identity.name ?? suggestedName(model)
  const { spec, errors } = specOf(fields, currency)
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
  const set = <K extends keyof SpecFields>(field: K, value: SpecFields[K]) =>
    setFields((current) => ({ ...current, [field]: value }))
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
      create.mutate(parsed.data, { onError: (error) => setIdentityErrors(serverErrorsOf(error)) })
    }
  }
  return (
    <form
      noValidate
      className="grid items-start gap-5 lg:grid-cols-[minmax(0,1fr)_minmax(0,26rem)]"
      onSubmit={(event) => {
        event.preventDefault()
        submit()
      }}
    >
      <div className="flex min-w-0 flex-col gap-5">
        <Card title="What">
          <div className="grid gap-4 sm:grid-cols-2">
            <Field label="Model" error={errors.modelId}>
              <Select
                options={models.map(({ id, name: label }) => [id, label] as const)}
                value={fields.modelId}
                onValue={(value) => set('modelId', value)}
              />
            </Field>
            <Field label="Precision" hint="How weights are held on machines." error={errors.precision}>
              <Select
                options={precisions}
                value={fields.precision}
                onValue={(value) => set('precision', value)}
              />
            </Field>
            <Field label="Name" error={identityErrors.name}>
              <Input
                value={name}
                onChange={(event) => setIdentity({ ...identity, name: event.target.value })}
              />
            </Field>
            <Field label="Served as" hint="The model’s name in requests." error={identityErrors.servedAs}>
              <Input
                placeholder={model?.name ?? ''}
                value={identity.servedAs}
                onChange={(event) => setIdentity({ ...identity, servedAs: event.target.value })}
              />
            </Field>
            {projects.length > 0 && (
              <Field label="Project" hint="Whose budget and limits count.">
                <Select
                  options={projects.map(({ id, title }) => [id, title] as const)}
                  value={identity.projectId || projects[0]!.id}
                  onValue={(value) => setIdentity({ ...identity, projectId: value })}
                />
              </Field>
            )}
          </div>
        </Card>
        <Card title="How much">
          <div className="grid gap-4 sm:grid-cols-2">
            <Field
              label="Context, in tokens"
              hint={
                model?.shape
                  ? `Empty is all of ${formatCount(model.shape.contextTokens)}.`
                  : 'Empty is what the model was made for.'
              }
              error={errors.contextTokens}
            >
              <Input
                inputMode="numeric"
                value={fields.contextTokens}
                placeholder={model?.shape ? String(model.shape.contextTokens) : ''}
                onChange={(event) => set('contextTokens', event.target.value)}
              />
            </Field>
            <Field label="Sessions at once" hint="Of that length, on each replica." error={errors.sessions}>
              <Input
                inputMode="numeric"
                value={fields.sessions}
                onChange={(event) => set('sessions', event.target.value)}
              />
            </Field>
            <Field label="Replicas, at least" error={errors['replicas.min']}>
              <Input
                inputMode="numeric"
                value={fields.minReplicas}
                onChange={(event) => set('minReplicas', event.target.value)}
              />
            </Field>
            <Field label="Replicas, at most" error={errors['replicas.max']}>
              <Input
                inputMode="numeric"
                value={fields.maxReplicas}
                onChange={(event) => set('maxReplicas', event.target.value)}
              />
            </Field>
          </div>
        </Card>
        <Where fields={fields} set={set} />
        <Targets fields={fields} set={set} errors={errors} currency={currency} />
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
    </form>
  )
}

interface PartProps {
  readonly fields: SpecFields
  readonly set: <K extends keyof SpecFields>(field: K, value: SpecFields[K]) => void
}

function Where({ fields, set }: PartProps) {
  const machines = useMachines().items
  const wordsOf = (kind: 'region' | 'provider') =>
    [...new Set(machines.map(({ location }) => location[kind]))].sort()
  return (
    <Card title="Where" about="Nothing chosen allows all.">
      <div className="flex flex-col gap-4">
        <WordChoice
          label="Regions"
          words={wordsOf('region')}
          chosen={fields.regions}
          onChoose={(words) => set('regions', words)}
        />
        <WordChoice
          label="Providers"
          words={wordsOf('provider')}
          chosen={fields.providers}
          onChoose={(words) => set('providers', words)}
        />
      </div>
    </Card>
  )
}

function Targets({
  fields,
  set,
  errors,
  currency,
}: PartProps & { readonly errors: FieldErrors; readonly currency: string }) {
  const targets = [
    ['ttftMs', 'Time to first token, ms'],
    ['tpotMs', 'Time per output token, ms'],
    ['tokensPerSecond', 'Throughput, tokens/s'],
    ['pricePerMillionTokens', `Price of a million tokens, ${currency}`],
  ] as const
  return (
    <Card title="Target" about="What it should achieve; what stays empty does not matter.">
      <div className="grid gap-4 sm:grid-cols-2">
        {targets.map(([name, label]) => (
          <Field key={name} label={label} error={errors[`target.${name}`]}>
            <Input
              inputMode="decimal"
              value={fields[name]}
              onChange={(event) => set(name, event.target.value)}
            />
          </Field>
        ))}
      </div>
    </Card>
  )
}
