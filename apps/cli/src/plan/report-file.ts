import { writeFile } from 'node:fs/promises'
import { describeError } from '@deos/domain'
import type { Output } from '../output.ts'
import { PlanFileError } from './plan-file.ts'

/** @throws PlanFileError if the file cannot be written */
export async function writeReport(path: string, html: string, output: Output): Promise<void> {
  try {
    await writeFile(path, html)
  } catch (cause) {
    throw new PlanFileError(path, null, '', describeError(cause), 'Give --html a file that can be written.')
  }
  output.note(`The report is in ${path}.`)
}
