import type { ReactNode } from 'react'
import { Button } from './button.tsx'
import { DialogActions } from './dialog.tsx'
import { Problem } from './problem.tsx'

interface FormProps {
  readonly onSubmit: () => void
  readonly className?: string
  readonly children: ReactNode
}

/** Fields above each other, checked by what they are sent with rather than by the browser. */
export const Form = ({ onSubmit, className = 'flex flex-col gap-4', children }: FormProps) => (
  <form
    noValidate
    className={className}
    onSubmit={(event) => {
      event.preventDefault()
      onSubmit()
    }}
  >
    {children}
  </form>
)

/** Fields in two columns where there is room. */
export const FieldGrid = ({ children }: { readonly children: ReactNode }) => (
  <div className="grid gap-4 sm:grid-cols-2">{children}</div>
)

interface DialogFormProps extends FormProps {
  readonly close: () => void
  /** What the button says. */
  readonly verb: string
  readonly danger?: boolean
  readonly disabled?: boolean
  readonly sending: { readonly isPending: boolean; readonly error: unknown }
}

/** The form of a dialog: its fields, what went wrong when they were sent, and two ways out. */
export const DialogForm = ({
  close,
  verb,
  danger = false,
  disabled = false,
  sending: { isPending, error },
  children,
  ...props
}: DialogFormProps) => (
  <Form {...props}>
    {children}
    {error !== null && <Problem error={error} />}
    <DialogActions>
      <Button onClick={close}>Cancel</Button>
      <Button type="submit" look={danger ? 'danger' : 'primary'} disabled={disabled} busy={isPending}>
        {verb}
      </Button>
    </DialogActions>
  </Form>
)
