import { type ReactNode, useState } from 'react'
import { Dialog } from './dialog.tsx'
import { Check, TextField } from './field.tsx'
import { DialogForm } from './form.tsx'

export interface Confirmed {
  /** Undefined if none was given. */
  readonly reason: string | undefined
  readonly option: boolean
}

interface ConfirmProps {
  readonly open: boolean
  readonly onOpenChange: (open: boolean) => void
  readonly title: string
  readonly children: ReactNode
  /** What the button says. */
  readonly verb: string
  readonly danger?: boolean
  /** Whether a reason may be given, which others will read. */
  readonly asksReason?: boolean
  readonly option?: { readonly label: string; readonly hint: string }
  readonly act: (confirmed: Confirmed) => Promise<unknown>
}

/** Asks before something is done, and stays open with the problem if it fails. */
export function Confirm({
  open,
  onOpenChange,
  title,
  children,
  verb,
  danger = false,
  asksReason = false,
  option,
  act,
}: ConfirmProps) {
  const [reason, setReason] = useState('')
  const [chosen, setChosen] = useState(false)
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(null)

  const change = (next: boolean) => {
    setError(null)
    setReason('')
    setChosen(false)
    onOpenChange(next)
  }
  const submit = async () => {
    setBusy(true)
    setError(null)
    try {
      await act({ reason: reason.trim() === '' ? undefined : reason.trim(), option: chosen })
      change(false)
    } catch (caught) {
      setError(caught)
    } finally {
      setBusy(false)
    }
  }

  return (
    <Dialog open={open} onOpenChange={change} title={title}>
      <DialogForm
        close={() => change(false)}
        verb={verb}
        danger={danger}
        sending={{ isPending: busy, error }}
        onSubmit={() => void submit()}
      >
        <div className="text-sm text-ink-2">{children}</div>
        {asksReason && (
          <TextField
            label="Reason"
            hint="Shown beside the state and in the events."
            maxLength={200}
            value={reason}
            onValue={setReason}
          />
        )}
        {option !== undefined && (
          <Check label={option.label} hint={option.hint} checked={chosen} onChecked={setChosen} />
        )}
      </DialogForm>
    </Dialog>
  )
}
