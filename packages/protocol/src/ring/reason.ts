/** Reasons travel in messages whose texts are bounded; an engine's own words may be long. */
const MAX_CHARACTERS = 500

export const shortReason = (reason: string): string =>
  reason.length <= MAX_CHARACTERS ? reason : `${reason.slice(0, MAX_CHARACTERS)}…`
