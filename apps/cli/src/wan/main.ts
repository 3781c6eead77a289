import { describeError } from '@deos/domain'
import { createLogger, EXIT_FAILURE, readConfig, runService } from '@deos/service'
import { loadWanProfile, loadWanSchedule } from '@deos/wan'
import { wanOptions } from './wan-options.ts'
import { WanService } from './wan-service.ts'

let logger = createLogger({ name: 'wan', level: 'info', format: 'auto' })
try {
  const config = readConfig(wanOptions, process.argv.slice(2), process.env)
  logger = createLogger({ name: 'wan', level: config.logLevel, format: config.logFormat })
  const profile = await loadWanProfile(config.profile)
  const schedule = config.schedule === null ? [] : await loadWanSchedule(config.schedule, profile)
  const service = new WanService({ profile, seed: config.seed, schedule }, process.stdin, logger, (line) => {
    process.stdout.write(`${JSON.stringify(line)}\n`)
  })
  await runService(service, { drainLimitMs: 1_000, endWithStdin: config.supervised }, logger)
} catch (error) {
  logger.fatal(describeError(error))
  process.exitCode = EXIT_FAILURE
}
