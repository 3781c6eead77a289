import { EXIT_FAILURE } from '../cli-error.ts'
import {
  type Check,
  checkAccelerators,
  checkBuild,
  checkDisk,
  checkMemory,
  checkModels,
  checkNode,
  checkPortFree,
  checkProcessor,
  checkTensorLibrary,
} from '../doctor/checks.ts'
import { type Finding, failedCheck, formatFindings } from '../doctor/finding.ts'
import type { Output } from '../output.ts'
import { version } from '../package-root.ts'

/** Looks at everything a first start needs; sets the exit code to 1 if something would keep it from working. */
export async function doctor(
  options: { readonly host: string; readonly port: number },
  output: Output,
): Promise<void> {
  const checks: readonly Check[] = [
    checkNode,
    checkBuild,
    checkProcessor,
    checkMemory,
    checkDisk,
    checkTensorLibrary,
    checkAccelerators,
    checkModels,
    checkPortFree(options.host, options.port),
  ]
  const findings: Finding[] = []
  for (const check of checks)
    findings.push(...(await check().catch((error) => [failedCheck(check.name, error)])))
  const healthy = findings.every(({ status }) => status !== 'fail')
  output.result({ version, healthy, findings }, () => formatFindings(findings))
  if (!healthy) process.exitCode = EXIT_FAILURE
}
