import { type ComponentProps, type ReactNode, useState } from 'react'
import { Button } from './button.tsx'
import { Dialog } from './dialog.tsx'

interface DialogButtonProps
  extends Omit<ComponentProps<typeof Button>, 'children' | 'title' | 'about' | 'onClick'> {
  /** What the button shows. */
  readonly shows: ReactNode
  readonly title: string
  readonly about?: ReactNode
  readonly wide?: boolean
  readonly children: (close: () => void) => ReactNode
}

/** A button and the dialog that it opens. */
export function DialogButton({ shows, title, about, wide = false, children, ...button }: DialogButtonProps) {
  const [open, setOpen] = useState(false)
  return (
    <>
      <Button {...button} onClick={() => setOpen(true)}>
        {shows}
      </Button>
      <Dialog open={open} onOpenChange={setOpen} title={title} about={about} wide={wide}>
        {children(() => setOpen(false))}
      </Dialog>
    </>
  )
}
