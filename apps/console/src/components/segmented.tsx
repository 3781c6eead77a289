import { ToggleGroup } from 'radix-ui'

/** A few choices side by side. */
export function Segmented<T extends string>({
  label,
  options,
  value,
  onValue,
}: {
  readonly label: string
  readonly options: readonly (readonly [value: T, label: string])[]
  readonly value: T
  readonly onValue: (value: T) => void
}) {
  return (
    <ToggleGroup.Root
      type="single"
      aria-label={label}
      value={value}
      onValueChange={(next) => {
        if (next !== '') onValue(next as T)
      }}
      className="inline-flex self-start rounded-md border border-line bg-raised p-0.5"
    >
      {options.map(([each, name]) => (
        <ToggleGroup.Item
          key={each}
          value={each}
          className="rounded-[5px] px-2 py-0.5 text-xs text-ink-2 data-[state=on]:bg-surface data-[state=on]:font-medium data-[state=on]:text-ink data-[state=on]:shadow-sm"
        >
          {name}
        </ToggleGroup.Item>
      ))}
    </ToggleGroup.Root>
  )
}
