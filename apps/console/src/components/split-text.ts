import type { RequestRecord } from '../data/types.ts'
import { formatCount, formatDuration, formatSize, nothing } from '../format/numbers.ts'

type Split = NonNullable<RequestRecord['split']>

/** What another replica contributed to a request. */
export function splitText({ used, tokens, bytes, levels }: Split): string {
  const exactness = levels.some((level) => level > 0) ? ', with loss' : ''
  return used
    ? `${formatCount(tokens)} positions, ${formatSize(bytes)} on the way${exactness}`
    : `not used${exactness && ', but earlier ones with loss'}`
}

/** Better copies of what came with loss. */
export function enhancementText({ enhancement }: Split): string {
  if (enhancement === null) return nothing
  const { bytes, endedMs, complete } = enhancement
  const end = endedMs === null ? 'when the answer ended' : `${formatDuration(endedMs)} after the first token`
  return `${formatSize(bytes)}, ${complete ? 'all there' : 'broken off'} ${end}`
}
