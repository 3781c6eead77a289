// Runs a PostgreSQL server for as long as the process that started it lives, and leaves nothing behind.
// Arguments: JSON of { command, args, uid, folder }; uid null keeps the user.
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'

const { command, args, uid, folder } = JSON.parse(process.argv[2])
const user = uid === null ? {} : { uid, gid: uid }
const server = spawn(command, args, { ...user, cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] })

// Both come when tests are interrupted from a terminal; the end of standard input says the rest.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
process.stdin.on('end', () => server.kill('SIGINT'))
process.stdin.on('error', () => server.kill('SIGINT'))
process.stdin.resume()
server.on('exit', () => {
  rmSync(folder, { recursive: true, force: true })
  process.exit(0)
})
