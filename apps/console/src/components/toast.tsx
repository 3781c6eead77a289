import { X } from 'lucide-react'
import { Toast as Radix } from 'radix-ui'
import { createContext, type ReactNode, useCallback, useContext, useState } from 'react'
import { classNames } from './class-names.ts'

export interface ToastContent {
  readonly text: string
  readonly detail?: string
  readonly tone?: 'ok' | 'bad'
}

const ToastContext = createContext<(content: ToastContent) => void>(() => undefined)

/** Tells what happened, politely and for a while. */
export function ToastProvider({ children }: { readonly children: ReactNode }) {
  const [toasts, setToasts] = useState<readonly (ToastContent & { readonly id: string })[]>([])
  const show = useCallback((content: ToastContent) => {
    setToasts((current) => [...current.slice(-3), { ...content, id: crypto.randomUUID() }])
  }, [])
  return (
    <ToastContext value={show}>
      <Radix.Provider duration={6000} label="Notice">
        {children}
        {toasts.map(({ id, text, detail, tone = 'ok' }) => (
          <Radix.Root
            key={id}
            type={tone === 'bad' ? 'foreground' : 'background'}
            onOpenChange={(open) => {
              if (!open) setToasts((current) => current.filter((toast) => toast.id !== id))
            }}
            className="flex animate-appear items-start gap-3 rounded-lg border border-line bg-surface p-3 text-sm shadow-lg"
          >
            <span
              aria-hidden="true"
              className={classNames(
                'mt-1.5 size-2 shrink-0 rounded-full',
                tone === 'bad' ? 'bg-bad' : 'bg-ok',
              )}
            />
            <div className="min-w-0 flex-1">
              <Radix.Title className="break-words">{text}</Radix.Title>
              {detail !== undefined && detail !== '' && (
                <Radix.Description className="mt-0.5 text-xs text-ink-3">{detail}</Radix.Description>
              )}
            </div>
            <Radix.Close aria-label="Dismiss" className="text-ink-3 hover:text-ink">
              <X className="size-4" aria-hidden="true" />
            </Radix.Close>
          </Radix.Root>
        ))}
        <Radix.Viewport className="fixed right-4 bottom-4 z-60 flex w-[min(24rem,calc(100vw-2rem))] flex-col gap-2" />
      </Radix.Provider>
    </ToastContext>
  )
}

export const useToast = (): ((content: ToastContent) => void) => useContext(ToastContext)
