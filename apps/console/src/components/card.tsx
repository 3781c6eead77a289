import { type ReactNode, useId } from 'react'
import { classNames } from './class-names.ts'

interface CardProps {
  readonly title?: ReactNode
  readonly about?: ReactNode
  readonly actions?: ReactNode
  readonly children: ReactNode
  /** Without room around the content, for tables. */
  readonly flush?: boolean
  readonly className?: string
}

export function Card({ title, about, actions, children, flush = false, className }: CardProps) {
  const id = useId()
  return (
    <section
      aria-labelledby={title === undefined ? undefined : id}
      className={classNames('min-w-0 rounded-lg border border-line bg-surface', className)}
    >
      {(title !== undefined || actions !== undefined) && (
        <header className="flex min-h-11 flex-wrap items-center justify-between gap-x-3 gap-y-1 border-b border-line px-4 py-2">
          <div className="min-w-0">
            <h2 id={id} className="text-sm font-semibold">
              {title}
            </h2>
            {about !== undefined && <p className="text-xs text-ink-3">{about}</p>}
          </div>
          {actions !== undefined && (
            <div className="flex min-w-0 flex-wrap items-center gap-2">{actions}</div>
          )}
        </header>
      )}
      <div className={flush ? '' : 'p-4'}>{children}</div>
    </section>
  )
}

interface FactsProps {
  readonly facts: readonly (readonly [label: string, value: ReactNode])[]
  readonly className?: string
}

/** What is known of a thing, label by value. */
export function Facts({ facts, className }: FactsProps) {
  return (
    <dl
      className={classNames(
        'grid grid-cols-[minmax(7rem,auto)_minmax(0,1fr)] gap-x-4 gap-y-2 text-sm',
        className,
      )}
    >
      {facts.map(([label, value]) => (
        <div key={label} className="contents">
          <dt className="text-ink-3">{label}</dt>
          <dd className="min-w-0 break-words">{value}</dd>
        </div>
      ))}
    </dl>
  )
}

/** A number that matters, with its name. */
export function Figure({
  label,
  value,
  note,
}: {
  readonly label: string
  readonly value: ReactNode
  readonly note?: ReactNode
}) {
  return (
    <div className="min-w-0 rounded-lg border border-line bg-surface px-4 py-3">
      <div className="text-xs text-ink-3">{label}</div>
      <div className="mt-0.5 truncate text-xl font-semibold tabular-nums">{value}</div>
      <div className="mt-0.5 min-h-4 text-xs text-ink-3 tabular-nums">{note}</div>
    </div>
  )
}
