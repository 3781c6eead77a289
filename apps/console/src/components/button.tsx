import { Slot } from 'radix-ui'
import type { ComponentProps } from 'react'
import { classNames } from './class-names.ts'

const looks = {
  primary: 'bg-ink text-canvas hover:bg-ink/85 border-transparent',
  plain: 'bg-surface text-ink border-line-strong hover:bg-raised',
  quiet: 'bg-transparent text-ink-2 border-transparent hover:bg-raised hover:text-ink',
  danger: 'bg-bad text-surface border-transparent hover:bg-bad/85',
} as const

const sizes = {
  small: 'h-7 px-2 text-xs gap-1.5',
  normal: 'h-8.5 px-3 text-sm gap-2',
  icon: 'size-8.5 justify-center',
} as const

interface ButtonProps extends ComponentProps<'button'> {
  readonly look?: keyof typeof looks
  readonly size?: keyof typeof sizes
  /** Says that it is at work, and takes no second click. */
  readonly busy?: boolean
  /** The child, a link as a rule, is the button. */
  readonly asChild?: boolean
}

export function Button({
  look = 'plain',
  size = 'normal',
  busy = false,
  asChild = false,
  className,
  disabled,
  ...props
}: ButtonProps) {
  const Element = asChild ? Slot.Root : 'button'
  return (
    <Element
      {...(!asChild && { type: 'button' as const })}
      {...props}
      {...(busy && { 'aria-busy': true })}
      disabled={disabled || busy}
      className={classNames(
        'inline-flex shrink-0 items-center justify-center rounded-md border font-medium whitespace-nowrap transition-colors select-none disabled:opacity-50 aria-busy:animate-pulse [&_svg]:size-4 [&_svg]:shrink-0',
        looks[look],
        sizes[size],
        className,
      )}
    />
  )
}
