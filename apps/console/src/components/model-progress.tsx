import { useEffect, useState } from 'react'
import { useRefresh } from '../data/query.ts'
import { useClient } from '../data/session.tsx'
import type { Model } from '../data/types.ts'
import { useStream } from '../data/use-stream.ts'
import { formatBandwidth, formatDuration, formatSize } from '../format/numbers.ts'
import { Meter } from './meter.tsx'
import { StateWithReason } from './reason.tsx'

const isMoving = ({ state }: Model): boolean => state === 'registering' || state === 'downloading'

/** Where a model comes from, as people write it. */
export function sourceText({ source }: Pick<Model, 'source'>): string {
  if (source.kind === 'path') return source.path
  const file = source.file == null ? '' : `/${source.file}`
  return `${source.repository}@${source.revision ?? 'main'}${file}`
}

/** A model as it changes, while it is on its way; as it was given otherwise. */
export function useWatchedModel(model: Model): Model {
  const client = useClient()
  const refresh = useRefresh()
  const [watched, setWatched] = useState<Model | null>(null)
  const { state } = useStream(
    isMoving(model) ? model.id : null,
    (signal) => client.models.watch({ params: { model: model.id }, signal }),
    setWatched,
  )
  useEffect(() => {
    if (state === 'ended') void refresh('models')
  }, [state, refresh])
  return isMoving(model) && watched?.id === model.id ? watched : model
}

export function ModelProgress({ model: given }: { readonly model: Model }) {
  const model = useWatchedModel(given)
  const { progress } = model
  return (
    <div className="flex flex-col gap-1.5 max-md:items-end">
      <StateWithReason state={model.state} reason={model.reason} />
      {progress !== null && isMoving(model) && (
        <div className="w-full min-w-44">
          <Meter
            progress
            label={`Download of ${model.name}`}
            fraction={
              progress.totalBytes === null || progress.totalBytes === 0
                ? 0
                : progress.doneBytes / progress.totalBytes
            }
          />
          <p className="text-xs text-ink-3 tabular-nums">{progressText(progress)}</p>
        </div>
      )}
    </div>
  )
}

function progressText({ doneBytes, totalBytes, bytesPerSecond }: NonNullable<Model['progress']>): string {
  const parts = [
    totalBytes === null ? formatSize(doneBytes) : `${formatSize(doneBytes)} of ${formatSize(totalBytes)}`,
  ]
  if (bytesPerSecond !== null && bytesPerSecond > 0) {
    parts.push(formatBandwidth(bytesPerSecond))
    if (totalBytes !== null)
      parts.push(`${formatDuration(Math.ceil((totalBytes - doneBytes) / bytesPerSecond) * 1000)} left`)
  }
  return parts.join(' · ')
}
