import type { RequestRecord } from '../data/types.ts'
import { formatCount, formatSize } from '../format/numbers.ts'

type Split = NonNullable<RequestRecord['split']>

/** What another replica contributed to a request. */
export function splitText({ used, tokens, bytes, levels }: Split): string {
  const exactness = levels.some((level) => level > 0) ? ', with loss' : ''
  return used
    ? `${formatCount(tokens)} positions, ${formatSize(bytes)} on the way${exactness}`
    : `not used${exactness && ', but earlier ones with loss'}`
}
