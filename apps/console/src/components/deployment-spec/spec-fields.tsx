import { useMachines } from '../../data/lists.ts'
import type { Model } from '../../data/types.ts'
import { formatCount } from '../../format/numbers.ts'
import { SelectField, TextField } from '../field.tsx'
import { FieldGrid } from '../form.tsx'
import type { SpecFields as SpecFieldValues, SpecForm } from './spec-form.ts'
import { WordChoice } from './word-choice.tsx'

const precisions: readonly (readonly [value: string, label: string])[] = [
  ['native', 'as the model comes'],
  ['F16', 'F16'],
  ['Q8_0', 'Q8_0, half of F16'],
  ['Q4_0', 'Q4_0, a quarter of F16'],
]

const codings: readonly (readonly [value: SpecFieldValues['activations'], label: string])[] = [
  ['f32', 'as they are'],
  ['lossless', 'fewer bytes, same answers'],
  ['int8', '8 bits, answers may change'],
  ['int4h', '4 bits, answers change'],
]

const kvQualities: readonly (readonly [value: 'lossless' | 'guarded' | 'refined', label: string])[] = [
  ['lossless', 'exact'],
  ['guarded', 'smaller, and checked before it is used'],
  ['refined', 'smaller and checked, and better copies behind'],
]

interface SpecFieldsProps {
  readonly form: SpecForm
}

interface ModelFieldsProps extends SpecFieldsProps {
  readonly models: readonly Model[]
}

export function ModelFields({ form, models }: ModelFieldsProps) {
  const { precision } = form.fields
  const known = precisions.some(([value]) => value === precision)
  return (
    <>
      <SelectField
        label="Model"
        options={models.map(({ id, name }) => [id as string, name] as const)}
        {...form.field('modelId')}
      />
      <SelectField
        label="Precision"
        hint="How weights are held on machines."
        options={known ? precisions : [...precisions, [precision, precision]]}
        {...form.field('precision')}
      />
      <SelectField
        label="Between machines"
        hint="How hidden states travel from stage to stage."
        options={codings}
        {...form.field('activations')}
      />
    </>
  )
}

export function AmountFields({ form, models }: ModelFieldsProps) {
  const contextTokens = models.find(({ id }) => id === form.fields.modelId)?.shape?.contextTokens
  return (
    <FieldGrid>
      <TextField
        label="Context, in tokens"
        hint={
          contextTokens === undefined
            ? 'Empty is what the model was made for.'
            : `Empty is all of ${formatCount(contextTokens)}.`
        }
        inputMode="numeric"
        placeholder={String(contextTokens ?? '')}
        {...form.field('contextTokens')}
      />
      <TextField
        label="Sessions at once"
        hint="Of that length, on each replica."
        inputMode="numeric"
        {...form.field('sessions')}
      />
      <TextField
        label="Replicas, at least"
        inputMode="numeric"
        {...form.field('minReplicas', 'replicas.min')}
      />
      <TextField
        label="Replicas, at most"
        inputMode="numeric"
        {...form.field('maxReplicas', 'replicas.max')}
      />
      <TextField
        label="Replicas for prompts only"
        hint="Beside these, on the machines that multiply fastest. Empty for none."
        inputMode="numeric"
        {...form.field('prefillReplicas', 'split.prefillReplicas')}
      />
      <SelectField
        label="KV on its way from them"
        options={kvQualities}
        {...form.field('kvQuality', 'split.kvQuality')}
      />
    </FieldGrid>
  )
}

export function PolicyFields({ form: { fields, set } }: SpecFieldsProps) {
  const machines = useMachines().items
  // What was chosen stays to be seen though its last machine is gone.
  const wordsOf = (kind: 'region' | 'provider', chosen: readonly string[]) =>
    [...new Set([...machines.map(({ location }) => location[kind]), ...chosen])].sort()
  return (
    <div className="flex flex-col gap-4">
      <WordChoice
        label="Regions"
        words={wordsOf('region', fields.regions)}
        chosen={fields.regions}
        onChoose={(words) => set('regions', words)}
      />
      <WordChoice
        label="Providers"
        words={wordsOf('provider', fields.providers)}
        chosen={fields.providers}
        onChoose={(words) => set('providers', words)}
      />
    </div>
  )
}

export function TargetFields({ form, currency }: SpecFieldsProps & { readonly currency: string }) {
  const targets = [
    ['ttftMs', 'Time to first token, ms'],
    ['tpotMs', 'Time per output token, ms'],
    ['tokensPerSecond', 'Throughput, tokens/s'],
    ['pricePerMillionTokens', `Price of a million tokens, ${currency}`],
  ] as const
  return (
    <FieldGrid>
      {targets.map(([name, label]) => (
        <TextField key={name} label={label} inputMode="decimal" {...form.field(name, `target.${name}`)} />
      ))}
    </FieldGrid>
  )
}
