import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DomainError, describeError } from '@deos/domain'
import {
  createLogger,
  EXIT_FAILURE,
  findInstallation,
  readConfig,
  runService,
  systemClock,
  systemRandom,
} from '@deos/service'
import { Agent } from './agent/agent.ts'
import { EXIT_IN_USE, exitCodeOf, type FinalError } from './agent/agent-error.ts'
import type { AgentEvent } from './agent/agent-event.ts'
import { agentOptions, agentSettings } from './agent/agent-options.ts'
import { openIdentity } from './agent/machine/machine-identity.ts'
import { MachineInUseError, takeMachineLock } from './agent/machine/machine-lock.ts'

/** Where a build put the script of another process. */
const entryFile = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/** A person at a terminal reads the log instead. A parent that is gone reads nothing; that alone is no reason to end. */
function tell(event: AgentEvent): void {
  if (process.stdout.isTTY) return
  try {
    writeSync(1, `${JSON.stringify(event)}\n`)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EPIPE' && code !== 'EAGAIN') throw error
  }
}

function tellEnd(error: DomainError): void {
  tell({ event: 'ended', code: error.code, message: error.message, hint: error.hint })
}

let logger = createLogger({ name: 'agent', level: 'info', format: 'auto' })
try {
  const config = readConfig(agentOptions, process.argv.slice(2), process.env)
  const settings = agentSettings(config)
  // Stages dial through the same proxy.
  process.env.DEOS_PROXY = config.proxy ?? ''
  // Stages inherit the environment, and none of them joins anything.
  delete process.env.DEOS_TOKEN
  logger = createLogger({ name: 'agent', level: config.logLevel, format: config.logFormat })
  const release = takeMachineLock(join(settings.folder, 'lock'))
  process.on('exit', release)
  const identity = await openIdentity(settings.folder)
  const agent = new Agent(settings, {
    identity,
    version: findInstallation(import.meta.url).version,
    scripts: { stage: entryFile('worker.mjs'), hardware: entryFile('agent-hardware.mjs') },
    ...{ logger, clock: systemClock, random: systemRandom, tell },
    onEnd: (error: FinalError) => {
      logger.fatal({ code: error.code }, describeError(error))
      tellEnd(error)
      process.exit(exitCodeOf(error))
    },
  })
  await runService(agent, { drainLimitMs: config.drainLimit, endWithStdin: config.supervised }, logger)
} catch (error) {
  logger.fatal(describeError(error))
  if (error instanceof DomainError) tellEnd(error)
  process.exitCode = error instanceof MachineInUseError ? EXIT_IN_USE : EXIT_FAILURE
}
