import { fstatSync } from 'node:fs'
import { describeError } from '@deos/domain'
import { createLogger, describeOptions, readConfig, runService } from '@deos/service'
import { type GatewayConfig, gatewayOptions } from './config.ts'
import { GatewayProcess } from './gateway-process.ts'

/** A pipe on standard input is a supervisor's: when it ends, the supervisor is gone. */
function isSupervised(): boolean {
  try {
    const input = fstatSync(0)
    return input.isFIFO() || input.isSocket()
  } catch {
    return false
  }
}

function readArguments(): GatewayConfig {
  const words = process.argv.slice(2)
  if (words.includes('--help') || words.includes('-h')) {
    process.stdout.write(
      `The gateway: an OpenAI-compatible API in front of a ring of workers.\n\nOptions:\n${describeOptions(gatewayOptions)}\n`,
    )
    process.exit(0)
  }
  try {
    return readConfig(gatewayOptions, words, process.env)
  } catch (error) {
    process.stderr.write(`${describeError(error)}\n`)
    process.exit(2)
  }
}

const config = readArguments()
const logger = createLogger({ name: 'gateway', level: config.logLevel, format: config.logFormat })
const gateway = new GatewayProcess(config, logger, (url) => {
  process.stdout.write(`${JSON.stringify({ ready: true, url })}\n`)
})
await runService(gateway, { drainLimitMs: config.drainLimitMs, endWithStdin: isSupervised() }, logger)
