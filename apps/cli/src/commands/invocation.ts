import { packageRoot } from '../package-root.ts'

/** How a person calls this program: `npx deos` from a clone, plain `deos` where it is installed. */
export function invocation(
  env: Readonly<Record<string, string | undefined>> = process.env,
  cwd = process.cwd(),
): string {
  return env.npm_execpath !== undefined || cwd === packageRoot ? 'npx deos' : 'deos'
}
