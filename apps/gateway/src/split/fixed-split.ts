import { DomainError } from '@deos/domain'
import type { Logger } from '@deos/service'
import { type RingNetwork, systemTimers } from '@deos/transport'
import type { FixedConfig } from '../config.ts'
import type { Backend } from '../inference/backend.ts'
import { RingBackend, type RingBackendOptions } from '../inference/ring-backend.ts'
import { RingNotes } from '../routing/ring-notes.ts'
import { connectRing } from '../routing/ring-session.ts'
import { ANSWER_MS, MAX_BLOCK_BYTES } from './handover-limits.ts'
import { openQuality } from './open-quality.ts'
import { SplitAdvisor } from './split-advisor.ts'
import { SplitBackend } from './split-backend.ts'
import { StageLinks } from './stage-links.ts'

/** Options that name a prefill ring, but not all of it. */
export class SplitConfigError extends DomainError {
  readonly code = 'SPLIT_CONFIG'
  readonly retriable = false
}

export interface FixedSplit {
  readonly backend: Backend
  start(): void
  stop(): Promise<void>
}

/**
 * The ring that the configuration names, with a prefill ring before it.
 *
 * @throws SplitConfigError if the prefill ring's address or secret is missing
 */
export function openFixedSplit(
  config: FixedConfig,
  decode: { readonly connection: ReturnType<typeof connectRing>['connection']; readonly backend: Backend },
  parts: {
    readonly network: RingNetwork
    readonly backendOptions: RingBackendOptions
    readonly logger: Logger
  },
): FixedSplit {
  const { ring, secret, stages } = prefillRing(config)
  const { network, backendOptions, logger } = parts
  const notes = new RingNotes(logger)
  const onNote = (level: 'info' | 'warn', text: string): void => notes.note(level, text)
  const { resumePatienceMs } = config
  const prefill = connectRing(
    { ring, secret, leader: stages[0]!, tail: stages.at(-1)!, resumePatienceMs, network },
    { onNote, onStatus: (ready, status) => notes.status(ready, status?.epoch ?? null) },
  )
  const prefillLinks = new StageLinks({ ring, secret, stages, network, onNote })
  const decodeLinks = new StageLinks({ ...config, secret: config.ringSecret, network, onNote })
  const { split, splitBlockTokens: blockTokens, splitDeadlineMs: deadlineMs, kvEnhanceMs: enhanceMs } = config
  const prefillBackend = new RingBackend(prefill.connection, backendOptions)
  const backend = new SplitBackend({
    prefill: { ring, connection: prefill.connection, links: prefillLinks, backend: prefillBackend },
    exact: prefillBackend,
    decode: { ring: config.ring, ...decode, links: decodeLinks },
    advisor: new SplitAdvisor(split, blockTokens),
    settings: { blockTokens, maxBlockBytes: MAX_BLOCK_BYTES, deadlineMs, answerMs: ANSWER_MS, enhanceMs },
    quality: openQuality(config, backendOptions.model ?? ''),
    now: systemTimers.now,
    onNote: (answer, text) => logger.info({ answer }, text),
  })
  return {
    backend,
    start: () => {
      prefill.connection.start()
      prefillLinks.start()
      decodeLinks.start()
    },
    stop: async () => {
      await Promise.all([prefill.stop(), prefillLinks.stop(), decodeLinks.stop()])
    },
  }
}

function prefillRing({ prefillRing: ring, prefillStages, prefillSecret, stages }: FixedConfig) {
  const complete = ring !== null && prefillStages.length > 0 && stages.length > 0
  if (!complete || !/^[0-9a-f]{64}$/i.test(prefillSecret ?? '')) {
    throw new SplitConfigError(
      'A prefill ring needs its id, its stages, its secret, and the stages of the ring that decodes.',
      'Give --prefill-ring, --prefill-stages, --stages, and 64 hexadecimal digits in DEOS_PREFILL_SECRET.',
    )
  }
  return { ring, secret: new Uint8Array(Buffer.from(prefillSecret ?? '', 'hex')), stages: prefillStages }
}
