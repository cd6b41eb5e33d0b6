import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../../../..')

export interface Running {
  readonly url: string
  /** Resolves once the process has ended, by whatever hand. */
  readonly ended: Promise<unknown>
  /** Ends it at once, without a chance to tidy up; no harm if it has ended. */
  kill(): Promise<void>
}

export type Env = Readonly<Record<string, string>>

/** The service that kills itself at the points of `points.ts`. */
export const startTestBuild = (env: Env): Promise<Running> =>
  start(['--conditions=source', 'packages/server/test/crash/service.ts'], /listens on (\S+)/, env)

/** What is shipped; `pnpm build` makes it. */
export const startReleaseBuild = (env: Env): Promise<Running> =>
  start(['packages/server/dist/main.js', 'serve'], /listens on (\S+)/, env)

/** The provider, in a process of its own. */
export const startProvider = (): Promise<Running> =>
  start(
    [
      '--conditions=source',
      'packages/gemini-emulator/src/main.ts',
      '--picture-style',
      'solid',
      '--signature-bytes',
      '64',
    ],
    /^(http\S+)/,
    {},
  )

async function start(args: string[], ready: RegExp, env: Env): Promise<Running> {
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  const url = await readyUrl(child, ready)
  return {
    url,
    ended,
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

function readyUrl(child: ChildProcess, ready: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let printed = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      printed += chunk.toString()
      const url = ready.exec(printed)?.[1]
      if (url !== undefined) resolve(url)
    })
    child.once('exit', (code) => reject(new Error(`ended with ${code}: ${printed}`)))
  })
}
