import { type ComponentProps, createContext, type ReactNode, useContext, useId } from 'react'
import { classNames } from './class-names.ts'

interface Described {
  readonly id: string
  readonly describedBy: string | undefined
  readonly invalid: boolean
}

const FieldContext = createContext<Described | null>(null)

interface FieldProps {
  readonly label: string
  readonly hint?: ReactNode
  readonly error?: string | undefined
  readonly children: ReactNode
  readonly className?: string
}

/** One control with its label, what it is for and what is wrong with it. */
export function Field({ label, hint, error, children, className }: FieldProps) {
  const id = useId()
  const described = error !== undefined ? `${id}-error` : hint !== undefined ? `${id}-hint` : undefined
  return (
    <FieldContext value={{ id, describedBy: described, invalid: error !== undefined }}>
      <div className={classNames('flex min-w-0 flex-col gap-1.5', className)}>
        <label htmlFor={id} className="text-sm font-medium">
          {label}
        </label>
        {children}
        {error !== undefined ? (
          <p id={`${id}-error`} role="alert" className="text-xs text-bad">
            {error}
          </p>
        ) : (
          hint !== undefined && (
            <p id={`${id}-hint`} className="text-xs text-ink-3">
              {hint}
            </p>
          )
        )}
      </div>
    </FieldContext>
  )
}

function useControl() {
  const field = useContext(FieldContext)
  if (field === null) return {}
  return {
    id: field.id,
    'aria-describedby': field.describedBy,
    'aria-invalid': field.invalid || undefined,
  }
}

const controlClass =
  'min-w-0 rounded-md border border-line-strong bg-surface px-2.5 text-sm text-ink placeholder:text-ink-3 aria-invalid:border-bad disabled:opacity-60'

/** As wide as its place unless `className` says another width. */
export function Input({ className = 'w-full', ...props }: ComponentProps<'input'>) {
  return <input {...useControl()} {...props} className={classNames(controlClass, 'h-8.5', className)} />
}

type Labelled = Pick<FieldProps, 'label' | 'hint' | 'error'>

interface TextFieldProps extends Labelled, Omit<ComponentProps<'input'>, 'value' | 'onChange'> {
  readonly value: string
  readonly onValue: (value: string) => void
}

/** A line of text with its label. */
export const TextField = ({ label, hint, error, onValue, ...props }: TextFieldProps) => (
  <Field label={label} hint={hint} error={error}>
    <Input {...props} onChange={(event) => onValue(event.target.value)} />
  </Field>
)

export const NewPasswordField = ({
  label = 'Password',
  ...field
}: Pick<TextFieldProps, 'value' | 'onValue' | 'error'> & { readonly label?: string }) => (
  <TextField
    {...field}
    label={label}
    hint="At least ten characters."
    type="password"
    autoComplete="new-password"
  />
)

export function TextArea({ className, ...props }: ComponentProps<'textarea'>) {
  return (
    <textarea {...useControl()} {...props} className={classNames(controlClass, 'w-full py-1.5', className)} />
  )
}

interface SelectProps<V extends string> extends Omit<ComponentProps<'select'>, 'value' | 'onChange'> {
  readonly options: readonly (readonly [value: V, label: string])[]
  readonly value: V
  readonly onValue: (value: V) => void
}

export function Select<V extends string>({
  options,
  onValue,
  className = 'w-full',
  ...props
}: SelectProps<V>) {
  return (
    <select
      {...useControl()}
      {...props}
      onChange={({ target }) => {
        const chosen = options.find(([value]) => value === target.value)
        if (chosen !== undefined) onValue(chosen[0])
      }}
      className={classNames(controlClass, 'h-8.5 pr-7', className)}
    >
      {options.map(([value, label]) => (
        <option key={value} value={value}>
          {label}
        </option>
      ))}
    </select>
  )
}

/** A choice of few with its label. */
export const SelectField = <V extends string>({
  label,
  hint,
  error,
  ...props
}: Labelled & SelectProps<V>) => (
  <Field label={label} hint={hint} error={error}>
    <Select {...props} />
  </Field>
)

interface CheckProps {
  readonly label: string
  readonly hint?: string
  readonly checked: boolean
  readonly disabled?: boolean
  readonly onChecked: (checked: boolean) => void
}

export function Check({ label, hint, checked, disabled, onChecked }: CheckProps) {
  const id = useId()
  return (
    <div className="flex items-start gap-2">
      <input
        id={id}
        type="checkbox"
        checked={checked}
        disabled={disabled}
        aria-describedby={hint === undefined ? undefined : `${id}-hint`}
        onChange={(event) => onChecked(event.target.checked)}
        className="mt-0.5 size-4 accent-[var(--accent)]"
      />
      <div>
        <label htmlFor={id} className="text-sm">
          {label}
        </label>
        {hint !== undefined && (
          <p id={`${id}-hint`} className="text-xs text-ink-3">
            {hint}
          </p>
        )}
      </div>
    </div>
  )
}
