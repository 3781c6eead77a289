import { type Placer, tokens } from '@deos/domain'

/**
 * A placer for engines that hand memory for KV out in blocks: what is asked for is rounded up to whole ones, so that
 * what is promised to a stage holds all of it.
 */
export const inKvBlocks = (placer: Placer, blockTokens: number): Placer => ({
  place: (request, fleet) =>
    placer.place(
      { ...request, kvTokens: tokens(Math.ceil(request.kvTokens / blockTokens) * blockTokens) },
      fleet,
    ),
})
