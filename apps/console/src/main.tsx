import './quiet-schemas.ts'
import './valid-language.ts'
import './styles.css'

// Loaded afterwards, since schemas and charts look at the settings above when they are made.
const { start } = await import('./start.tsx')
start(document.getElementById('root')!)
