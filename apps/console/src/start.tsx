import { QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { ToastProvider } from './components/toast.tsx'
import { createQueryClient } from './data/query-client.ts'
import { SessionProvider } from './data/session.tsx'
import { applyStoredTheme } from './data/theme.ts'
import { router } from './router.tsx'

export function start(root: HTMLElement): void {
  applyStoredTheme()
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={createQueryClient()}>
        <ToastProvider>
          <SessionProvider>
            <RouterProvider router={router} />
          </SessionProvider>
        </ToastProvider>
      </QueryClientProvider>
    </StrictMode>,
  )
}
