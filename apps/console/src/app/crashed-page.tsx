import type { ErrorComponentProps } from '@tanstack/react-router'
import { Problem } from '../components/problem.tsx'

/** A fault of the console itself, or of its files that could not be loaded. */
export const CrashedPage = ({ error, reset }: ErrorComponentProps) => (
  <div className="mx-auto max-w-2xl p-4">
    <Problem error={error} retry={reset} />
  </div>
)
