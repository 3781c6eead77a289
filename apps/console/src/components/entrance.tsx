import { type ReactNode, useEffect } from 'react'
import { Mark } from './mark.tsx'

interface EntranceProps {
  readonly title: string
  readonly about: ReactNode
  readonly children: ReactNode
}

/** The frame of the pages before one is signed in. */
export function Entrance({ title, about, children }: EntranceProps) {
  useEffect(() => {
    document.title = `${title} · DeOS`
  }, [title])
  return (
    <main className="flex min-h-dvh flex-col items-center justify-center gap-6 px-4 py-10">
      <div className="flex items-center gap-2.5 text-accent">
        <Mark className="size-8" />
        <span className="text-lg font-semibold tracking-tight text-ink">DeOS</span>
      </div>
      <div className="w-full max-w-sm rounded-lg border border-line bg-surface p-6">
        <h1 className="text-lg font-semibold">{title}</h1>
        <p className="mt-1 mb-5 text-sm text-ink-3">{about}</p>
        {children}
      </div>
      <p className="text-xs text-ink-3">One steady machine out of many unreliable ones.</p>
    </main>
  )
}
