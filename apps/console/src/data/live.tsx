import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useRef } from 'react'
import { groupsChangedBy } from './live-refresh.ts'
import { useRefresh } from './query.ts'
import { useSession } from './session.tsx'
import type { Event } from './types.ts'
import { type StreamState, useStream } from './use-stream.ts'

type Listener = (event: Event) => void

interface Live {
  readonly state: StreamState
  readonly listen: (listener: Listener) => () => void
}

const LiveContext = createContext<Live | null>(null)

/** Many events at once make data old only once. */
const gatherMs = 250

/** One stream of events for the whole page: it keeps what is shown fresh, and pages may listen in. */
export function LiveProvider({ children }: { readonly children: ReactNode }) {
  const { client, may, organisation } = useSession()
  const refresh = useRefresh()
  const listeners = useRef(new Set<Listener>())
  const old = useRef(new Set<string>())
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null)
  const lastId = useRef<string | null>(null)

  const onEvent = (event: Event, id: string | null) => {
    if (id !== null) lastId.current = id
    for (const listener of listeners.current) listener(event)
    for (const group of groupsChangedBy(event)) old.current.add(group)
    timer.current ??= setTimeout(() => {
      timer.current = null
      const groups = [...old.current]
      old.current.clear()
      void refresh(...groups)
    }, gatherMs)
  }
  useEffect(() => () => void (timer.current !== null && clearTimeout(timer.current)), [])

  const { state } = useStream(
    may('events:read') && organisation !== null ? organisation.id : null,
    (signal) => client.events.follow({ signal, lastEventId: lastId.current ?? undefined }),
    onEvent,
  )
  const listen = useCallback((listener: Listener) => {
    listeners.current.add(listener)
    return () => void listeners.current.delete(listener)
  }, [])
  const live = useMemo(() => ({ state, listen }), [state, listen])
  return <LiveContext value={live}>{children}</LiveContext>
}

export function useLive(): Live {
  const live = useContext(LiveContext)
  if (live === null) throw new Error('There is no stream of events around this component.')
  return live
}

/** Events as they happen, while the component is there. */
export function useEvents(listener: Listener): void {
  const { listen } = useLive()
  const latest = useRef(listener)
  latest.current = listener
  useEffect(() => listen((event) => latest.current(event)), [listen])
}
