import { type DeploymentSpec, deploymentSpecSchema } from '@deos/sdk'
import { errorsOf, type FieldErrors } from '../../data/form.ts'
import { parseMoney } from '../../format/money.ts'

/** A spec as fields hold it: text, where empty says nothing. */
export interface SpecFields {
  readonly modelId: string
  readonly contextTokens: string
  readonly sessions: string
  readonly precision: string
  readonly minReplicas: string
  readonly maxReplicas: string
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
  minReplicas: '1',
  maxReplicas: '1',
  regions: [],
  providers: [],
  ttftMs: '',
  tpotMs: '',
  tokensPerSecond: '',
  pricePerMillionTokens: '',
}

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
