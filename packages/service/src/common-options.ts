import { option } from './config.ts'
import { logFormats, logLevels } from './logging.ts'

/** Of every process that logs. */
export const logOptions = {
  logLevel: option.choice({
    flag: 'log-level',
    env: 'DEOS_LOG_LEVEL',
    default: 'info',
    choices: logLevels,
    prose: 'Least important lines to log.',
  }),
  logFormat: option.choice({
    flag: 'log-format',
    env: 'DEOS_LOG_FORMAT',
    default: 'auto',
    choices: logFormats,
    prose: 'How to log to standard error; auto is pretty on a terminal and JSON elsewhere.',
  }),
}

/** Of processes that another of ours starts. */
export const supervisedOption = option.boolean({
  flag: 'supervised',
  env: 'DEOS_SUPERVISED',
  prose: 'Stop when standard input ends, as a child does whose parent is gone.',
  default: false,
})

/** Of processes that dial machines. */
export const machineProxyOption = option.optionalText({
  flag: 'proxy',
  env: 'DEOS_PROXY',
  prose: 'HTTP proxy for links to other machines, such as http://proxy.example.org:3128.',
  secret: true,
})
