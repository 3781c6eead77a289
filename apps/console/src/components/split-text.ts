import type { RequestRecord } from '../data/types.ts'
import { formatCount, formatSize } from '../format/numbers.ts'

type Split = NonNullable<RequestRecord['split']>

/** What another replica contributed to a request. */
export const splitText = ({ used, tokens, bytes }: Split): string =>
  used ? `${formatCount(tokens)} positions, ${formatSize(bytes)} on the way` : 'not used'
