import { fstatSync } from 'node:fs'
import { describeError } from '@deos/domain'
import { createLogger, describeOptions, runService } from '@deos/service'
import { type ControlPlaneConfig, controlPlaneOptions, readControlPlaneConfig } from './config.ts'
import { ControlPlane } from './control-plane.ts'

/** A pipe on standard input is a supervisor's: when it ends, the supervisor is gone. */
function isSupervised(): boolean {
  try {
    const input = fstatSync(0)
    return input.isFIFO() || input.isSocket()
  } catch {
    return false
  }
}

function readArguments(): ControlPlaneConfig {
  const words = process.argv.slice(2)
  if (words.includes('--help') || words.includes('-h')) {
    process.stdout.write(
      `The control plane: console, API, and everything that keeps deployments running.\n\nOptions:\n${describeOptions(controlPlaneOptions)}\n`,
    )
    process.exit(0)
  }
  try {
    return readControlPlaneConfig(words, process.env)
  } catch (error) {
    process.stderr.write(`${describeError(error)}\n`)
    process.exit(2)
  }
}

const config = readArguments()
const logger = createLogger({ name: 'control-plane', level: config.logLevel, format: config.logFormat })
const plane = new ControlPlane(config, logger, (ready) => {
  process.stdout.write(`${JSON.stringify({ ready: true, ...ready })}\n`)
})
await runService(plane, { drainLimitMs: config.drainLimitMs, endWithStdin: isSupervised() }, logger)
