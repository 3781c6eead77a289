import { formatPercent } from '../format/numbers.ts'
import { classNames } from './class-names.ts'

interface MeterProps {
  readonly label: string
  /** 0 to 1. */
  readonly fraction: number
  /** In words, beside the bar. */
  readonly text?: string
  /** Work that ends, not a level. */
  readonly progress?: boolean
}

export function Meter({ label, fraction, text = formatPercent(fraction), progress = false }: MeterProps) {
  const percent = Math.round(Math.min(1, Math.max(0, fraction)) * 1000) / 10
  const values = {
    role: progress ? 'progressbar' : 'meter',
    'aria-label': label,
    'aria-valuemin': 0,
    'aria-valuemax': 100,
    'aria-valuenow': percent,
    'aria-valuetext': text,
  }
  return (
    <div className="flex min-w-0 items-center gap-2">
      <div {...values} className="h-1.5 min-w-12 flex-1 overflow-hidden rounded-full bg-line">
        <div
          className={classNames(
            'h-full rounded-full transition-[width] duration-500',
            !progress && fraction > 0.92 ? 'bg-warn' : 'bg-accent',
          )}
          style={{ width: `${percent}%` }}
        />
      </div>
      <span className="shrink-0 text-xs text-ink-2 tabular-nums">{text}</span>
    </div>
  )
}
