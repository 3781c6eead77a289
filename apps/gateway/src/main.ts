import { createLogger, describeOptions, isSupervised, readCommandLine, runService } from '@deos/service'
import { fixedOptions, readGatewayConfig, routedOptions } from './config.ts'
import { FixedGateway } from './fixed-gateway.ts'
import { RoutedGateway } from './routed-gateway.ts'

const help =
  'The gateway: APIs as OpenAI, Anthropic and Ollama have them, in front of rings of workers.\n' +
  `\nOptions of a gateway for one ring:\n${describeOptions(fixedOptions)}\n` +
  `\nOptions of a gateway that follows a control plane:\n${describeOptions(routedOptions)}\n`

const config = readCommandLine(help, readGatewayConfig)
const logger = createLogger({ name: 'gateway', level: config.logLevel, format: config.logFormat })
const announce = (url: string) => {
  process.stdout.write(`${JSON.stringify({ ready: true, url })}\n`)
}
const gateway =
  'controlPlane' in config
    ? new RoutedGateway(config, logger, announce)
    : new FixedGateway(config, logger, announce)
await runService(gateway, { drainLimitMs: config.drainLimitMs, endWithStdin: isSupervised() }, logger)
