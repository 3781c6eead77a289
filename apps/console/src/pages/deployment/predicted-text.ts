import type { Replica } from '../../data/types.ts'
import { formatDuration, formatTokenRate, nothing } from '../../format/numbers.ts'

/** What the placer expects. */
export function predictedText({
  predicted,
  predictedTokenMs,
}: Pick<Replica, 'predicted' | 'predictedTokenMs'>): string {
  if (predicted === null) {
    return `Predicted ${predictedTokenMs === null ? nothing : `${formatDuration(predictedTokenMs)} a token`}`
  }
  const { ttftMs, tpotMs, tokensPerSecond, handOverMs } = predicted
  const waits = handOverMs === null ? '' : ` (${formatDuration(handOverMs)} of it for KV to arrive)`
  const rate = formatTokenRate(tokensPerSecond)
  return tpotMs === null
    ? `Predicted prompt ready to decode in ${formatDuration(ttftMs)}${waits}, ${rate} of prompts`
    : `Predicted first token in ${formatDuration(ttftMs)}${waits}, then ${formatDuration(tpotMs)} a token, ${rate}`
}
