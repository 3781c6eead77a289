import { type DeploymentSpec, deploymentSpecSchema } from '@deos/sdk'
import { errorsOf, type FieldErrors, useForm } from '../../data/form.ts'
import type { Deployment } from '../../data/types.ts'
import { moneyText, parseMoney } from '../../format/money.ts'

type Spec = Deployment['spec']
type KvQuality = NonNullable<Spec['split']>['kvQuality']

/** A spec as fields hold it: text, where empty says nothing. */
export interface SpecFields {
  readonly modelId: string
  readonly contextTokens: string
  readonly sessions: string
  readonly precision: string
  readonly activations: Spec['activations']
  readonly minReplicas: string
  readonly maxReplicas: string
  /** Empty for none. */
  readonly prefillReplicas: string
  readonly kvQuality: KvQuality
  readonly regions: readonly string[]
  readonly providers: readonly string[]
  readonly ttftMs: string
  readonly tpotMs: string
  readonly tokensPerSecond: string
  readonly pricePerMillionTokens: string
}

export const emptySpec: SpecFields = {
  modelId: '',
  contextTokens: '',
  sessions: '4',
  precision: 'native',
  activations: 'f32',
  minReplicas: '1',
  maxReplicas: '1',
  prefillReplicas: '',
  kvQuality: 'lossless',
  regions: [],
  providers: [],
  ttftMs: '',
  tpotMs: '',
  tokensPerSecond: '',
  pricePerMillionTokens: '',
}

/** The other way: a spec as fields hold it. */
export const fieldsOf = ({
  modelId,
  contextTokens,
  sessions,
  precision,
  activations,
  replicas,
  policy,
  target,
  split,
}: Spec): SpecFields => ({
  modelId,
  contextTokens: String(contextTokens ?? ''),
  sessions: String(sessions),
  precision,
  activations,
  minReplicas: String(replicas.min),
  maxReplicas: String(replicas.max),
  prefillReplicas: String(split?.prefillReplicas ?? ''),
  kvQuality: split?.kvQuality ?? 'lossless',
  regions: policy.regions ?? [],
  providers: policy.providers ?? [],
  ttftMs: String(target.ttftMs ?? ''),
  tpotMs: String(target.tpotMs ?? ''),
  tokensPerSecond: String(target.tokensPerSecond ?? ''),
  pricePerMillionTokens:
    target.pricePerMillionTokens === undefined ? '' : moneyText(target.pricePerMillionTokens),
})

const asNone = (text: string): boolean => text.trim() === '' || Number(text) === 0

const optional = <K extends string>(name: K, text: string): Partial<Record<K, number>> =>
  text.trim() === '' ? {} : ({ [name]: Number(text) } as Record<K, number>)

type SpecInput = Readonly<Record<string, unknown>>

/** The spec that fields mean, and what is wrong with it, by the names of the API. */
export function specOf(
  fields: SpecFields,
  currency: string,
): { readonly spec: DeploymentSpec | null; readonly errors: FieldErrors } {
  const price = parseMoney(fields.pricePerMillionTokens, currency)
  const given: SpecInput = {
    modelId: fields.modelId,
    contextTokens: fields.contextTokens.trim() === '' ? null : Number(fields.contextTokens),
    sessions: Number(fields.sessions),
    precision: fields.precision,
    activations: fields.activations,
    replicas: { min: Number(fields.minReplicas), max: Number(fields.maxReplicas) },
    policy: {
      regions: fields.regions.length === 0 ? null : fields.regions,
      providers: fields.providers.length === 0 ? null : fields.providers,
    },
    target: {
      ...optional('ttftMs', fields.ttftMs),
      ...optional('tpotMs', fields.tpotMs),
      ...optional('tokensPerSecond', fields.tokensPerSecond),
      ...(price !== null && { pricePerMillionTokens: price }),
    },
    split: asNone(fields.prefillReplicas)
      ? null
      : { prefillReplicas: Number(fields.prefillReplicas), kvQuality: fields.kvQuality },
  }
  const errors = {
    ...errorsOf(deploymentSpecSchema, given),
    ...(fields.modelId === '' && { modelId: 'Choose a model.' }),
    ...(fields.pricePerMillionTokens.trim() !== '' &&
      price === null && { 'target.pricePerMillionTokens': 'Must be an amount such as 0.20.' }),
  }
  const parsed = deploymentSpecSchema.safeParse(given)
  return { spec: parsed.success && Object.keys(errors).length === 0 ? parsed.data : null, errors }
}

/** What of a spec is another than before, as a revision states it; key order is that of the schema in both. */
export function changesOf(before: Spec, after: Spec): Partial<Spec> {
  const known = new Map(Object.entries(before).map(([name, value]) => [name, JSON.stringify(value)]))
  return Object.fromEntries(
    Object.entries(after).filter(([name, value]) => known.get(name) !== JSON.stringify(value)),
  )
}

/** The fields of a spec while a person fills them in; each says at once what is wrong with it. */
export function useSpecForm(initial: SpecFields, currency: string) {
  const { values, set, field, errors: refused, setErrors } = useForm(initial)
  const { spec, errors } = specOf(values, currency)
  return {
    fields: values,
    spec,
    set,
    /** `problem` is the field's name in the API. */
    field: <K extends keyof SpecFields>(name: K, problem: string = name) => ({
      ...field(name, problem),
      error: errors[problem] ?? refused[problem],
    }),
    /** Takes what the server said of a body in which the spec is named `prefix`. */
    refuse: (problems: FieldErrors, prefix: string) =>
      setErrors(
        Object.fromEntries(
          Object.entries(problems).map(([name, message]) => [name.replace(`${prefix}.`, ''), message]),
        ),
      ),
  }
}

export type SpecForm = ReturnType<typeof useSpecForm>
