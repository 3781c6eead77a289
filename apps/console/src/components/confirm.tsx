import { type ReactNode, useState } from 'react'
import { Button } from './button.tsx'
import { Dialog, DialogActions } from './dialog.tsx'
import { Check, Field, Input } from './field.tsx'
import { Problem } from './problem.tsx'

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
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          void submit()
        }}
      >
        <div className="text-sm text-ink-2">{children}</div>
        {asksReason && (
          <Field label="Reason" hint="Shown beside the state and in the events.">
            <Input value={reason} maxLength={200} onChange={(event) => setReason(event.target.value)} />
          </Field>
        )}
        {option !== undefined && (
          <Check label={option.label} hint={option.hint} checked={chosen} onChecked={setChosen} />
        )}
        {error !== null && <Problem error={error} />}
        <DialogActions>
          <Button onClick={() => change(false)}>Cancel</Button>
          <Button type="submit" look={danger ? 'danger' : 'primary'} busy={busy}>
            {verb}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}
