import { spawn } from 'node:child_process'
import { once } from 'node:events'

const PATIENCE_MS = 30_000

/** A server that an example starts, in a group of its own: npm would leave behind what it has started. */
export function startProcess(cwd, file, args, env) {
  const child = spawn(file, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'close')
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => (said += text))
  }
  return {
    /** Waits until what it has said so far matches. */
    async says(pattern) {
      const end = Date.now() + PATIENCE_MS
      while (!pattern.test(said)) {
        if (Date.now() > end || child.exitCode !== null) {
          throw new Error(`said no ${pattern} but:\n${said}`)
        }
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    },
    async stop() {
      process.kill(-child.pid, 'SIGKILL')
      await ended
    },
  }
}
