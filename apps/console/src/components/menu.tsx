import { Ellipsis } from 'lucide-react'
import { DropdownMenu } from 'radix-ui'
import type { ComponentProps, ReactNode } from 'react'
import { Button } from './button.tsx'
import { classNames } from './class-names.ts'

interface ActionMenuProps {
  /** Whose actions they are. */
  readonly name: string
  /** In the head of its own page rather than in a row of a table. */
  readonly isPage: boolean
  readonly children: ReactNode
}

export const ActionMenu = ({ name, isPage, children }: ActionMenuProps) => (
  <Menu
    trigger={
      <Button
        look={isPage ? 'plain' : 'quiet'}
        size={isPage ? 'normal' : 'icon'}
        aria-label={`Actions for ${name}`}
      >
        {isPage && 'Actions'}
        <Ellipsis aria-hidden="true" />
      </Button>
    }
  >
    {children}
  </Menu>
)

interface MenuProps {
  readonly trigger: ReactNode
  readonly children: ReactNode
  readonly align?: 'start' | 'end'
}

export const Menu = ({ trigger, children, align = 'end' }: MenuProps) => (
  <DropdownMenu.Root>
    <DropdownMenu.Trigger asChild>{trigger}</DropdownMenu.Trigger>
    <DropdownMenu.Portal>
      <DropdownMenu.Content
        align={align}
        sideOffset={4}
        collisionPadding={8}
        className="z-50 min-w-44 animate-appear rounded-lg border border-line bg-surface p-1 shadow-lg"
      >
        {children}
      </DropdownMenu.Content>
    </DropdownMenu.Portal>
  </DropdownMenu.Root>
)

export const MenuItem = ({
  danger = false,
  className,
  ...props
}: ComponentProps<typeof DropdownMenu.Item> & { readonly danger?: boolean }) => (
  <DropdownMenu.Item
    {...props}
    className={classNames(
      'flex cursor-pointer items-center gap-2 rounded-md px-2 py-1.5 text-sm outline-none data-disabled:cursor-default data-disabled:opacity-45 data-highlighted:bg-raised [&_svg]:size-4',
      danger && 'text-bad',
      className,
    )}
  />
)

export const MenuLabel = ({ children }: { readonly children: ReactNode }) => (
  <DropdownMenu.Label className="px-2 py-1.5 text-xs text-ink-3">{children}</DropdownMenu.Label>
)

export const MenuSeparator = () => <DropdownMenu.Separator className="my-1 h-px bg-line" />

export const MenuRadio = ({
  value,
  onValue,
  options,
}: {
  readonly value: string
  readonly onValue: (value: string) => void
  readonly options: readonly (readonly [value: string, label: string])[]
}) => (
  <DropdownMenu.RadioGroup value={value} onValueChange={onValue}>
    {options.map(([each, label]) => (
      <DropdownMenu.RadioItem
        key={each}
        value={each}
        className="flex cursor-pointer items-center justify-between gap-4 rounded-md px-2 py-1.5 text-sm outline-none data-highlighted:bg-raised"
      >
        {label}
        <DropdownMenu.ItemIndicator className="text-accent">●</DropdownMenu.ItemIndicator>
      </DropdownMenu.RadioItem>
    ))}
  </DropdownMenu.RadioGroup>
)
