/** Promises and the first token of the decode ring may take so long before a hand-over is given up. */
export const ANSWER_MS = 30_000
/** Keys or values of a block of 128 positions with 2,048 columns of halves. */
export const MAX_BLOCK_BYTES = 512 * 1024
