import { describeError } from '@deos/domain'
import type { Logger } from 'pino'

/** What a process runs. Whatever starts also stops. */
export interface Service {
  start(): Promise<void>
  /** Takes no new work and resolves when accepted work is done; `signal` aborts when time is up. */
  drain(signal: AbortSignal): Promise<void>
  stop(): Promise<void>
}

export interface LifecycleSettings {
  /** How long accepted work may take after the first signal. */
  readonly drainLimitMs: number
  /** Also drain when standard input ends: the sign that a supervising parent is gone. */
  readonly endWithStdin: boolean
}

/** The process around a service, or a stand-in for it in tests. */
export interface Host {
  on(event: string, listener: (...args: unknown[]) => void): unknown
  exit(code: number): void
  readonly stdin: { on(event: 'end' | 'close', listener: () => void): unknown; resume(): unknown }
}

export const EXIT_FAILURE = 1
/** What shells report after an interrupt. */
export const EXIT_FORCED = 130

async function drainWithin(service: Service, limitMs: number, logger: Logger): Promise<void> {
  const limit = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => {
      limit.abort()
      resolve('late')
    }, limitMs)
  })
  const outcome = await Promise.race([service.drain(limit.signal).then(() => 'done' as const), late])
  clearTimeout(timer)
  if (outcome === 'late')
    logger.warn({ drainLimitMs: limitMs }, 'Work was still running when the drain limit passed.')
}

/**
 * Starts a service and keeps it until a signal. SIGINT or SIGTERM drains within the limit and exits with 0, a second
 * one exits at once; an error nobody handled is logged and exits with 1, as does a failed start.
 */
export async function runService(
  service: Service,
  settings: LifecycleSettings,
  logger: Logger,
  host: Host = process as unknown as Host,
): Promise<void> {
  let ending = false

  const end = async (why: string) => {
    if (ending) {
      logger.warn({ why }, 'Forced to stop.')
      host.exit(EXIT_FORCED)
      return
    }
    ending = true
    logger.info({ why, drainLimitMs: settings.drainLimitMs }, 'Draining; a second signal forces.')
    try {
      await drainWithin(service, settings.drainLimitMs, logger)
      await service.stop()
      logger.info('Stopped.')
      host.exit(0)
    } catch (error) {
      logger.error({ err: error }, 'Stopping failed.')
      host.exit(EXIT_FAILURE)
    }
  }
  const crash = (error: unknown) => {
    logger.fatal({ err: error }, 'An error nobody handled.')
    host.exit(EXIT_FAILURE)
  }

  host.on('SIGINT', () => void end('SIGINT'))
  host.on('SIGTERM', () => void end('SIGTERM'))
  host.on('uncaughtException', crash)
  host.on('unhandledRejection', crash)
  if (settings.endWithStdin) {
    const orphaned = () => {
      if (!ending) void end('standard input ended')
    }
    host.stdin.on('end', orphaned)
    host.stdin.on('close', orphaned)
    host.stdin.resume()
  }

  try {
    await service.start()
  } catch (error) {
    // Whoever is stopped while starting fails for that reason alone.
    if (ending) return
    logger.fatal(describeError(error))
    host.exit(EXIT_FAILURE)
  }
}
