import type { LucideIcon } from 'lucide-react'
import type { ReactNode } from 'react'
import { CommandLine } from './code.tsx'

interface EmptyProps {
  readonly icon: LucideIcon
  readonly title: string
  readonly children: ReactNode
  /** The same from a terminal. */
  readonly command?: string
  readonly action?: ReactNode
}

/** Nothing is there yet: what to do next. */
export function Empty({ icon: Icon, title, children, command, action }: EmptyProps) {
  return (
    <div className="flex flex-col items-center gap-3 px-4 py-12 text-center">
      <span className="flex size-11 items-center justify-center rounded-full bg-raised text-ink-2">
        <Icon className="size-5" aria-hidden="true" />
      </span>
      <div>
        <p className="font-medium">{title}</p>
        <p className="mx-auto mt-1 max-w-md text-sm text-ink-3">{children}</p>
      </div>
      {action}
      {command !== undefined && (
        <div className="w-full max-w-lg text-left">
          <CommandLine command={`npx ${command}`} />
        </div>
      )}
    </div>
  )
}
