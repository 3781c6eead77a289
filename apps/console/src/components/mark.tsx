/** Stages in a ring around what they serve. */
export function Mark({ className = 'size-6' }: { readonly className?: string }) {
  return (
    <svg viewBox="0 0 32 32" fill="none" className={className} aria-hidden="true">
      <g stroke="currentColor" strokeWidth="4" strokeLinecap="round">
        <path d="M18.8 5.4A11 11 0 0 1 26.6 13.2" />
        <path d="M26.6 18.8A11 11 0 0 1 18.8 26.6" />
        <path d="M13.2 26.6A11 11 0 0 1 5.4 18.8" />
        <path d="M5.4 13.2A11 11 0 0 1 13.2 5.4" />
      </g>
      <circle cx="16" cy="16" r="3.5" fill="currentColor" />
    </svg>
  )
}
