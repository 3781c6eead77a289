import { fstatSync } from 'node:fs'
import { describeError } from '@deos/domain'
import { createLogger, describeOptions, runService } from '@deos/service'
import {
  type FixedConfig,
  fixedOptions,
  type RoutedConfig,
  readGatewayConfig,
  routedOptions,
} from './config.ts'
import { FixedGateway } from './fixed-gateway.ts'
import { RoutedGateway } from './routed-gateway.ts'

/** A pipe on standard input is a supervisor's: when it ends, the supervisor is gone. */
function isSupervised(): boolean {
  try {
    const input = fstatSync(0)
    return input.isFIFO() || input.isSocket()
  } catch {
    return false
  }
}

function readArguments(): FixedConfig | RoutedConfig {
  const words = process.argv.slice(2)
  if (words.includes('--help') || words.includes('-h')) {
    process.stdout.write(
      'The gateway: APIs as OpenAI, Anthropic and Ollama have them, in front of rings of workers.\n' +
        `\nOptions of a gateway for one ring:\n${describeOptions(fixedOptions)}\n` +
        `\nOptions of a gateway that follows a control plane:\n${describeOptions(routedOptions)}\n`,
    )
    process.exit(0)
  }
  try {
    return readGatewayConfig(words, process.env)
  } catch (error) {
    process.stderr.write(`${describeError(error)}\n`)
    process.exit(2)
  }
}

const config = readArguments()
const logger = createLogger({ name: 'gateway', level: config.logLevel, format: config.logFormat })
const announce = (url: string) => {
  process.stdout.write(`${JSON.stringify({ ready: true, url })}\n`)
}
const gateway =
  'controlPlane' in config
    ? new RoutedGateway(config, logger, announce)
    : new FixedGateway(config, logger, announce)
await runService(gateway, { drainLimitMs: config.drainLimitMs, endWithStdin: isSupervised() }, logger)
