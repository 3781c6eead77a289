import { Tabs as Radix } from 'radix-ui'
import { type ReactNode, useEffect, useRef } from 'react'

export interface Tab {
  readonly id: string
  readonly label: string
  readonly content: ReactNode
}

/** Tabs whose choice lies with the caller, in the address as a rule. */
export function Tabs({
  label,
  tabs,
  value,
  onValue,
}: {
  readonly label: string
  readonly tabs: readonly Tab[]
  readonly value: string
  readonly onValue: (id: string) => void
}) {
  const list = useRef<HTMLDivElement>(null)
  // Where not all of them fit, the chosen one is brought into sight; the page itself stays where it is.
  useEffect(() => {
    const chosen = list.current?.querySelector<HTMLElement>(`[data-tab="${value}"]`)
    if (!list.current || !chosen) return
    list.current.scrollLeft = chosen.offsetLeft - (list.current.clientWidth - chosen.offsetWidth) / 2
  }, [value])
  return (
    <Radix.Root value={value} onValueChange={onValue} className="flex min-w-0 flex-col gap-5">
      <Radix.List
        ref={list}
        aria-label={label}
        className="relative flex gap-1 overflow-x-auto border-b border-line"
      >
        {tabs.map(({ id, label: name }) => (
          <Radix.Trigger
            key={id}
            value={id}
            data-tab={id}
            className="-mb-px border-b-2 border-transparent px-3 py-2 text-sm whitespace-nowrap text-ink-3 -outline-offset-2 hover:text-ink data-[state=active]:border-ink data-[state=active]:font-medium data-[state=active]:text-ink"
          >
            {name}
          </Radix.Trigger>
        ))}
      </Radix.List>
      {tabs.map(({ id, content }) => (
        <Radix.Content key={id} value={id} className="flex min-w-0 flex-col gap-5 outline-offset-4">
          {content}
        </Radix.Content>
      ))}
    </Radix.Root>
  )
}
