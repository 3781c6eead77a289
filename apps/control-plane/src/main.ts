import { createLogger, describeOptions, isSupervised, readCommandLine, runService } from '@deos/service'
import { controlPlaneOptions, readControlPlaneConfig } from './config.ts'
import { ControlPlane } from './control-plane.ts'
import { checkConsoleFolder } from './http/console-files.ts'

const help = `The control plane: console, API, and everything that keeps deployments running.\n\nOptions:\n${describeOptions(controlPlaneOptions)}\n`

const config = readCommandLine(help, (words, env) => {
  const read = readControlPlaneConfig(words, env)
  if (read.consoleFolder !== null) checkConsoleFolder(read.consoleFolder)
  return read
})
const logger = createLogger({ name: 'control-plane', level: config.logLevel, format: config.logFormat })
const plane = new ControlPlane(config, logger, (ready) => {
  process.stdout.write(`${JSON.stringify({ ready: true, ...ready })}\n`)
})
await runService(plane, { drainLimitMs: config.drainLimitMs, endWithStdin: isSupervised() }, logger)
