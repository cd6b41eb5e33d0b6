import { spawn } from 'node:child_process'

/** A browser that has not failed by then is taken to have opened. */
const SETTLED_MS = 1500

/** Opens an address or a file with what the system has for it; false where it has nothing. */
export function openInBrowser(target: string): Promise<boolean> {
  const [command, args] = openerOf(target)
  const child = spawn(command, args, { stdio: 'ignore', detached: true })
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, SETTLED_MS, true)
    const settle = (opened: boolean) => {
      clearTimeout(timer)
      resolve(opened)
    }
    child.once('error', () => settle(false))
    child.once('exit', (code) => settle(code === 0))
    child.unref()
  })
}

/** On Windows not `start`, which is a command of the shell's and would read the `&` of an address. */
function openerOf(target: string): [string, string[]] {
  if (process.platform === 'darwin') return ['open', [target]]
  if (process.platform === 'win32') return ['rundll32', ['url.dll,FileProtocolHandler', target]]
  return ['xdg-open', [target]]
}
