import './quiet-schemas.ts'
import './styles.css'

// Loaded afterwards, since schemas look at the setting above when they are made.
const { start } = await import('./start.tsx')
start(document.getElementById('root')!)
