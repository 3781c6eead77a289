import type { UseQueryResult } from '@tanstack/react-query'
import { Badge } from '../../components/badge.tsx'
import { Card } from '../../components/card.tsx'
import { Problem } from '../../components/problem.tsx'
import { layersText, Ring } from '../../components/ring/ring.tsx'
import { Skeleton } from '../../components/skeleton.tsx'
import type { Preview } from '../../data/types.ts'
import { formatMoney } from '../../format/money.ts'
import { formatDuration, formatShort, formatSize, formatTokenRate, nothing } from '../../format/numbers.ts'

interface PreviewPanelProps {
  readonly query: UseQueryResult<Preview>
  readonly valid: boolean
  readonly minReplicas: number
}

/** Where it would run now, how fast and for how much. */
export function PreviewPanel({
  query: { data, error, isFetching, refetch },
  valid,
  minReplicas,
}: PreviewPanelProps) {
  return (
    <Card
      title="If it were deployed now"
      actions={
        <span role="status" className="text-xs text-ink-3">
          {isFetching ? 'Placing…' : ''}
        </span>
      }
    >
      {!valid ? (
        <p className="text-sm text-ink-3">Some fields need a look before a place can be found.</p>
      ) : error ? (
        <Problem error={error} retry={() => void refetch()} />
      ) : data === undefined ? (
        <div className="flex flex-col gap-3">
          <Skeleton className="h-64" />
          <Skeleton className="h-16" />
        </div>
      ) : (
        <Placed preview={data} minReplicas={minReplicas} />
      )}
    </Card>
  )
}

function Placed({ preview, minReplicas }: { readonly preview: Preview; readonly minReplicas: number }) {
  const { placement, prefillPlacement, fittingReplicas, kvTokens, predictedTokensPerSecond } = preview
  const { pricePerHour, reasons } = preview
  return (
    <div className="flex flex-col gap-4 text-sm">
      {placement === null ? (
        <Badge tone="bad">Nothing fits</Badge>
      ) : (
        <Ring
          stages={placement.stages.map((stage) => ({
            key: `${stage.machineId} ${stage.layers.first}`,
            machineName: stage.machineName,
            layers: stage.layers,
            region: stage.location.region,
            state: null,
            loadedFraction: null,
          }))}
          caption={`${formatDuration(placement.tokenMs)} a token`}
        />
      )}
      <dl className="grid grid-cols-2 gap-x-4 gap-y-3">
        <Prediction
          label="Price an hour"
          value={pricePerHour === null ? 'not all machines have one' : formatMoney(pricePerHour)}
        />
        <Prediction
          label="Throughput, predicted"
          value={predictedTokensPerSecond === null ? nothing : formatTokenRate(predictedTokensPerSecond)}
        />
        <Prediction label="Replicas that fit" value={`${fittingReplicas} of ${minReplicas}`} />
        <Prediction label="KV cache" value={`${formatShort(kvTokens)} tokens`} />
      </dl>
      {placement !== null && <PlannedStages stages={placement.stages} />}
      {prefillPlacement !== null && (
        <div>
          <p className="mb-1 text-xs font-medium text-ink-3">For prompts only</p>
          <PlannedStages stages={prefillPlacement.stages} />
        </div>
      )}
      <div>
        <p className="text-xs font-medium text-ink-3">{placement === null ? 'What is missing' : 'Why so'}</p>
        <ul className="mt-1 list-disc pl-4 text-ink-2">
          {reasons.map((reason) => (
            <li key={reason}>{reason}</li>
          ))}
        </ul>
      </div>
      {placement === null && (
        <p className="text-ink-3">
          It can be deployed all the same: it waits, and starts as soon as there is room.
        </p>
      )}
    </div>
  )
}

type PlannedStage = NonNullable<Preview['placement']>['stages'][number]

const PlannedStages = ({ stages }: { readonly stages: readonly PlannedStage[] }) => (
  <ul className="divide-y divide-line border-y border-line text-xs">
    {stages.map((stage) => (
      <li
        key={`${stage.machineId} ${stage.layers.first}`}
        className="flex flex-wrap justify-between gap-x-3 py-1.5"
      >
        <span className="font-medium">
          {stage.machineName} <span className="font-normal text-ink-3">{stage.device}</span>
        </span>
        <span className="text-ink-2 tabular-nums">
          {layersText(stage.layers)} · {formatSize(stage.weightBytes + stage.kvBytes)} ·{' '}
          {formatDuration(stage.decodeMs)}
        </span>
      </li>
    ))}
  </ul>
)

const Prediction = ({ label, value }: { readonly label: string; readonly value: string }) => (
  <div className="min-w-0">
    <dt className="text-xs text-ink-3">{label}</dt>
    <dd className="font-semibold break-words tabular-nums">{value}</dd>
  </div>
)
