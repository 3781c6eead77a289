import { Check, Copy } from 'lucide-react'
import { useEffect, useState } from 'react'
import { Button } from './button.tsx'

const shownMs = 1600

export function CopyButton({ text, label = 'Copy' }: { readonly text: string; readonly label?: string }) {
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    if (!copied) return
    const timer = setTimeout(() => setCopied(false), shownMs)
    return () => clearTimeout(timer)
  }, [copied])
  return (
    <Button
      size="small"
      look="quiet"
      aria-label={label}
      onClick={() => void navigator.clipboard.writeText(text).then(() => setCopied(true))}
    >
      {copied ? <Check aria-hidden="true" className="text-ok" /> : <Copy aria-hidden="true" />}
      <span aria-live="polite">{copied ? 'Copied' : 'Copy'}</span>
    </Button>
  )
}

/** One line for a terminal. */
export function CommandLine({ command }: { readonly command: string }) {
  return (
    <div className="flex items-center gap-1 rounded-md border border-line bg-raised py-1 pr-1 pl-3">
      <code className="min-w-0 flex-1 overflow-x-auto font-mono text-xs leading-6 whitespace-nowrap">
        <span className="text-ink-3 select-none">$ </span>
        {command}
      </code>
      <CopyButton text={command} label="Copy the command" />
    </div>
  )
}

/** What is shown only now, whole and ready to be copied. */
export const ShownOnce = ({ text, label }: { readonly text: string; readonly label: string }) => (
  <div className="flex items-center gap-1 rounded-md border border-line bg-raised py-1 pr-1 pl-3">
    <code className="min-w-0 flex-1 font-mono text-xs leading-6 break-all">{text}</code>
    <CopyButton text={text} label={label} />
  </div>
)

export function CodeBlock({ code, label }: { readonly code: string; readonly label: string }) {
  return (
    <div className="relative rounded-md border border-line bg-raised">
      <section
        aria-label={label}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        tabIndex={0}
        className="overflow-x-auto rounded-md"
      >
        <pre className="p-3 font-mono max-sm:pt-9 sm:pr-20 text-xs leading-5">{code}</pre>
      </section>
      <div className="absolute top-1 right-1 rounded-md bg-raised">
        <CopyButton text={code} label={`Copy ${label}`} />
      </div>
    </div>
  )
}
