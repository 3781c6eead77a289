import { ApiError } from '@deos/sdk'
import { useEffect, useRef, useState } from 'react'

export type StreamState = 'connecting' | 'live' | 'paused' | 'lost' | 'ended'

type Open<T> = (signal: AbortSignal) => AsyncIterable<{ readonly id: string | null; readonly data: T }>

/** A refusal comes sooner; a stream without events says nothing when it is open. */
const openAfterMs = 1500
const firstPauseMs = 2000
const longestPauseMs = 30_000

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })

/**
 * Follows a stream while the page is looked at: a browser has few connections for all its tabs, and what nobody sees
 * needs none.
 *
 * @param key - what the stream is about; another key opens another one. Null follows nothing
 */
export function useStream<T>(
  key: string | null,
  open: Open<T>,
  onEvent: (data: T, id: string | null) => void,
): { readonly state: StreamState; readonly error: ApiError | null } {
  const [state, setState] = useState<StreamState>('connecting')
  const [error, setError] = useState<ApiError | null>(null)
  const latest = useRef({ open, onEvent })
  latest.current = { open, onEvent }

  useEffect(() => {
    if (key === null) return
    let controller: AbortController | null = null

    const follow = async (signal: AbortSignal) => {
      for (let pauseMs = firstPauseMs; !signal.aborted; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
        setState('connecting')
        const opened = setTimeout(
          () => setState((known) => (known === 'connecting' ? 'live' : known)),
          openAfterMs,
        )
        try {
          for await (const { data, id } of latest.current.open(signal)) {
            if (signal.aborted) return
            setState('live')
            setError(null)
            pauseMs = firstPauseMs
            latest.current.onEvent(data, id)
          }
          if (!signal.aborted) setState('ended')
          return
        } catch (caught) {
          if (signal.aborted) return
          setState('lost')
          setError(caught instanceof ApiError ? caught : null)
          if (caught instanceof ApiError && !caught.retriable) return
        } finally {
          clearTimeout(opened)
        }
        await pause(pauseMs, signal)
      }
    }

    const look = () => {
      if (document.hidden) {
        controller?.abort()
        controller = null
        setState('paused')
      } else if (controller === null) {
        controller = new AbortController()
        void follow(controller.signal)
      }
    }
    look()
    document.addEventListener('visibilitychange', look)
    return () => {
      document.removeEventListener('visibilitychange', look)
      controller?.abort()
    }
  }, [key])

  return { state, error }
}
